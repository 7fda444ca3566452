// The pages that links in e-mails open: confirm an address, choose a new password, unsubscribe.
// Opening a link changes nothing, since programs that scan e-mails follow links: the button does it.

const section = document.getElementById("link");
const [heading, form, outcome] = ["h2", "form", "output"].map((name) => section.querySelector(name));
const [label, button] = ["label", "button"].map((name) => form.querySelector(name));

const KOREAN = navigator.language.startsWith("ko");
const words = (korean, english) => (KOREAN ? korean : english);

const REFUSALS = {
  invalid_token: words("더 이상 유효하지 않은 링크입니다. 가장 최근에 받은 메일의 링크를 이용해 주세요.", "This link is no longer valid. Please use the link in your latest e-mail."),
  password_too_common: words("너무 흔한 비밀번호입니다. 다른 비밀번호를 입력해 주세요.", "This password is too common. Please choose another one."),
  invalid_body: words("입력한 내용을 확인해 주세요.", "Please check what you have entered."),
};

const PASSWORD = { type: "password", autocomplete: "new-password", minLength: 10, maxLength: 128, required: true };
const EMAIL = { type: "email", autocomplete: "email", maxLength: 254, required: true };

// By the name in the link. `field` is what is asked for, `send` what the button does with it, `done` what the page says then.
const PAGES = {
  verify: {
    heading: words("이메일 주소 확인", "Confirm your e-mail address"),
    button: words("확인", "Confirm"),
    send: (token) => post("/api/v1/auth/verify", { token }),
    done: words("이메일 주소가 확인되었습니다.", "Your e-mail address is confirmed."),
  },
  forgot: {
    heading: words("비밀번호 재설정", "Reset your password"),
    field: { called: words("이메일 주소", "E-mail address"), ...EMAIL },
    button: words("메일 받기", "Send e-mail"),
    send: (_, email) => post("/api/v1/auth/forgot", { email }),
    done: words("가입된 주소라면 곧 메일이 도착합니다.", "If this address has an account, you will soon receive an e-mail."),
  },
  reset: {
    heading: words("새 비밀번호 설정", "Choose a new password"),
    field: { called: words("새 비밀번호 (10자 이상)", "New password (10 characters or more)"), ...PASSWORD },
    button: words("변경", "Change"),
    send: (token, new_password) => post("/api/v1/auth/reset", { token, new_password }),
    done: words("비밀번호가 변경되었습니다. 모든 기기에서 로그아웃되었습니다.", "Your password was changed. You were logged out on all devices."),
  },
  unsubscribe: {
    heading: words("메일 수신 거부", "Stop e-mails like this"),
    button: words("수신 거부", "Unsubscribe"),
    send: (token) => call(`/api/v1/notifications/unsubscribe?${new URLSearchParams({ token })}`, { method: "POST" }),
    done: words("앞으로 이런 메일을 보내지 않습니다.", "You will no longer receive e-mails like this."),
  },
};

const post = (path, body) =>
  call(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });

// Resolves to null, or to a message for the reader: the same without a network and with an answer that is not ours.
async function call(path, options) {
  try {
    const answer = await fetch(path, options);
    if (answer.ok) return null;
    const { code, detail } = await answer.json();
    return REFUSALS[code] ?? detail;
  } catch {
    return words("지금은 처리할 수 없습니다. 잠시 후 다시 시도해 주세요.", "Something went wrong. Please try again later.");
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
    // A used token must not stay in the address and the history.
    if (refusal === null) history.replaceState(null, "", location.pathname);
  };
}

addEventListener("hashchange", show);
show();
