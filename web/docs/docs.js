// Shows /api/openapi.json and /api/asyncapi.json. All text is set as text: nothing in the documents can become markup.

const get = (id) => document.getElementById(id);

function make(tag, text = "", ...children) {
  const element = document.createElement(tag);
  element.append(text, ...children);
  return element;
}

function table(heads, rows) {
  const line = (cells, tag) => make("tr", "", ...cells.map((cell) => make(tag, "", cell)));
  return make("table", "", make("thead", "", line(heads, "th")), make("tbody", "", ...rows.map((row) => line(row, "td"))));
}

// A schema in one line; names of schemas are links to them.
function typeOf(schema) {
  if (schema === undefined) return "";
  if (schema.$ref) {
    const name = schema.$ref.split("/").at(-1);
    const link = make("a", name);
    link.href = `#${name}`;
    return link;
  }
  if (schema.allOf) return typeOf(schema.allOf[0]);
  const span = make("span");
  if (schema.anyOf) {
    schema.anyOf.forEach((choice, index) => span.append(index ? " or " : "", typeOf(choice)));
  } else if (schema.enum) {
    span.append(schema.enum.join(" | "));
  } else if (schema.prefixItems) {
    span.append("[");
    schema.prefixItems.forEach((item, index) => span.append(index ? ", " : "", typeOf(item)));
    span.append("]");
  } else if (schema.type === "array") {
    span.append("list of ", typeOf(schema.items));
  } else {
    span.append(schema.type ?? "anything");
  }
  const limits = ["format", "minimum", "maximum", "minLength", "maxLength", "pattern", "default"];
  const given = limits.filter((name) => schema[name] !== undefined).map((name) => `${name} ${JSON.stringify(schema[name])}`);
  if (given.length) span.append(` (${given.join(", ")})`);
  return span;
}

function schemaBox(name, schema) {
  const box = make("details", "", make("summary", "", make("code", name)), make("p", schema.description ?? ""));
  box.id = name;
  if (schema.properties) {
    const required = schema.required ?? [];
    box.append(table(["Field", "Type", ""], Object.entries(schema.properties).map(([field, type]) =>
      [make("code", field), typeOf(type), required.includes(field) ? "" : "optional"])));
  } else {
    box.append(make("p", "", typeOf(schema)));
  }
  return box;
}

// Only GETs can be tried: they change nothing.
function tryOut(path, operation) {
  const form = make("form");
  for (const parameter of operation.parameters) {
    const input = make("input");
    input.name = parameter.name;
    input.required = parameter.required;
    input.dataset.in = parameter.in;
    form.append(make("label", `${parameter.name} `, input), " ");
  }
  const shown = make("pre");
  form.append(make("button", "Send"), shown);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const query = new URLSearchParams();
    let address = path;
    for (const { name, value, dataset } of form.querySelectorAll("input")) {
      if (dataset.in === "path") address = address.replace(`{${name}}`, encodeURIComponent(value));
      else if (value !== "") query.set(name, value);
    }
    const token = get("token").value;
    try {
      const answer = await fetch(query.size ? `${address}?${query}` : address,
        { headers: token ? { Authorization: `Bearer ${token}` } : {} });
      const body = await answer.text();
      shown.textContent = `${answer.status}\n${body && JSON.stringify(JSON.parse(body), null, 2)}`;
    } catch (error) {
      shown.textContent = String(error);
    }
  });
  return form;
}

function operationBox(method, path, operation) {
  const name = make("span", method.toUpperCase());
  name.className = "method";
  const box = make("details", "",
    make("summary", "", name, make("code", path), " ", make("small", operation.summary)));
  const open = operation.security.length === 0 || operation.security.some((way) => Object.keys(way).length === 0);
  const role = operation.security[0]?.bearer?.[0];
  const wanted = role ? `Requires a bearer token of a user with the role ${role}.` : "Requires a bearer token.";
  box.append(make("p", open ? "No token required." : wanted));
  if (operation.parameters.length) {
    box.append(table(["Parameter", "In", "Type"], operation.parameters.map((parameter) =>
      [make("code", parameter.name), parameter.in, typeOf(parameter.schema)])));
  }
  const body = operation.requestBody?.content["application/json"].schema;
  if (body) box.append(make("p", "Body: ", typeOf(body)));
  box.append(table(["Status", "Body", ""], Object.entries(operation.responses).map(([status, response]) =>
    [status, typeOf(Object.values(response.content ?? {})[0]?.schema), response.description])));
  if (method === "get" && operation.responses["200"]) box.append(tryOut(path, operation));
  return box;
}

function messageList(title, operation, document_) {
  const names = operation.messages.map((message) => message.$ref.split("/").at(-1));
  return [make("h3", title), table(["Message", "Fields", ""], names.map((name) => {
    const { payload, summary } = document_.components.messages[name];
    const schema = document_.components.schemas[payload.$ref.split("/").at(-1)];
    const fields = Object.keys(schema.properties).filter((field) => field !== "type").join(", ");
    return [make("code", name), fields, summary];
  }))];
}

async function load(address) {
  const answer = await fetch(address);
  if (!answer.ok) throw new Error(`${address}: ${answer.status}`);
  return answer.json();
}

function openTarget() {
  const box = get(decodeURIComponent(location.hash.slice(1)));
  if (box instanceof HTMLDetailsElement) {
    box.open = true;
    box.scrollIntoView();
  }
}

try {
  const [rest, live] = await Promise.all([load("/api/openapi.json"), load("/api/asyncapi.json")]);
  get("operations").append(make("h2", "REST"), make("p", rest.info.description));
  for (const [path, methods] of Object.entries(rest.paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      get("operations").append(operationBox(method, path, operation));
    }
  }
  get("messages").append(make("h2", "WebSocket /ws/live"), make("p", live.info.description),
    ...messageList("Requests", live.operations.request, live),
    ...messageList("Replies and pushes", live.operations.answer, live));
  get("schemas").append(make("h2", "Types of the REST API"),
    ...Object.entries(rest.components.schemas).map(([name, schema]) => schemaBox(name, schema)));
  get("state").hidden = true;
  openTarget();
  addEventListener("hashchange", openTarget);
} catch (error) {
  get("state").textContent = `The documents could not be loaded: ${error.message}`;
}
