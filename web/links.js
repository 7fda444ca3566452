// What the links in e-mails lead to: a confirmed address, a new password, no more e-mails about something.
// A link alone changes nothing, since programs that look through mails follow it: somebody presses the button.

const section = document.getElementById("link");
const [heading, form, outcome] = ["h2", "form", "output"].map((name) => section.querySelector(name));
const [label, button] = ["label", "button"].map((name) => form.querySelector(name));

const KOREAN = navigator.language.startsWith("ko");
const words = (korean, english) => (KOREAN ? korean : english);

const REFUSALS = {
  invalid_token: words("이 링크는 더 이상 쓸 수 없습니다.", "This link cannot be used any more."),
  password_too_common: words("너무 흔한 비밀번호입니다.", "This password is too common."),
  invalid_body: words("입력한 내용을 확인해 주세요.", "Please look at what you have entered."),
};

const PASSWORD = { type: "password", autocomplete: "new-password", minLength: 10, maxLength: 128, required: true };
const EMAIL = { type: "email", autocomplete: "email", maxLength: 254, required: true };

// By the name in the link. `field` is what is asked for, `send` what the button does with it, `done` what is said then.
const PAGES = {
  verify: {
    heading: words("이메일 주소 확인", "Confirm your e-mail address"),
    button: words("확인", "Confirm"),
    send: (token) => post("/api/v1/auth/verify", { token }),
    done: words("이메일 주소가 확인되었습니다.", "Your e-mail address is confirmed."),
  },
  forgot: {
    heading: words("비밀번호 찾기", "Forgotten password"),
    field: { called: words("이메일 주소", "E-mail address"), ...EMAIL },
    button: words("메일 받기", "Send a mail"),
    send: (_, email) => post("/api/v1/auth/forgot", { email }),
    done: words("가입된 주소라면 곧 메일이 도착합니다.", "If this address has an account, a mail is on its way."),
  },
  reset: {
    heading: words("새 비밀번호", "A new password"),
    field: { called: words("새 비밀번호 (10자 이상)", "New password (10 characters or more)"), ...PASSWORD },
    button: words("변경", "Change"),
    send: (token, new_password) => post("/api/v1/auth/reset", { token, new_password }),
    done: words("비밀번호가 변경되었습니다. 모든 기기에서 로그아웃되었습니다.", "Your password is changed, and every session is over."),
  },
  unsubscribe: {
    heading: words("메일 수신 거부", "No more e-mails like this"),
    button: words("수신 거부", "Unsubscribe"),
    send: (token) => call(`/api/v1/notifications/unsubscribe?${new URLSearchParams({ token })}`, { method: "POST" }),
    done: words("더 이상 이런 메일을 보내지 않습니다.", "You will get no more e-mails like this."),
  },
};

const post = (path, body) =>
  call(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });

// Resolves to null, or to what people are told instead. No network and no answer of ours are the same to them.
async function call(path, options) {
  try {
    const answer = await fetch(path, options);
    if (answer.ok) return null;
    const { code, detail } = await answer.json();
    return REFUSALS[code] ?? detail;
  } catch {
    return words("지금은 처리할 수 없습니다. 잠시 후 다시 시도해 주세요.", "This does not work now. Please try again in a while.");
  }
}

function show() {
  const [name, query] = location.hash.slice(2).split("?");
  const page = location.hash.startsWith("#/") && Object.hasOwn(PAGES, name) ? PAGES[name] : null;
  const token = new URLSearchParams(query).get("token") ?? "";
  section.hidden = page === null;
  document.getElementById("live").hidden = page !== null;
  if (page === null) return;

  heading.textContent = page.heading;
  outcome.textContent = "";
  button.textContent = page.button;
  form.hidden = false;
  const { called, ...attributes } = page.field ?? {};
  const input = Object.assign(document.createElement("input"), attributes);
  label.replaceChildren(...(page.field ? [called, input] : []));
  form.onsubmit = async (event) => {
    event.preventDefault();
    button.disabled = true;
    const refusal = await page.send(token, input.value);
    button.disabled = false;
    form.hidden = refusal === null;
    outcome.textContent = refusal ?? page.done;
    // A token that was used has no business in the address and the history.
    if (refusal === null) history.replaceState(null, "", location.pathname);
  };
}

addEventListener("hashchange", show);
show();
