// What the server cannot do: say that the connection is lost, and go to the sign-in when it is over.
(() => {
  "use strict";
  // One key answers, where a button names it; not while somebody types, and not when it is switched off.
  const keySwitch = document.getElementById("keys");
  const keysAnswer = () => localStorage.getItem("keys") !== "off";
  if (keySwitch) {
    const show = () => {
      document.documentElement.classList.toggle("one-key", keysAnswer());
      keySwitch.setAttribute("aria-pressed", String(keysAnswer()));
    };
    keySwitch.addEventListener("click", () => {
      localStorage.setItem("keys", keysAnswer() ? "off" : "on");
      show();
    });
    show();
    document.addEventListener("keydown", (event) => {
      const types = event.target.closest("input, select, textarea, [contenteditable]");
      if (types || !keysAnswer() || event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
      const named = document.querySelector(`button[aria-keyshortcuts="${CSS.escape(event.key.toLowerCase())}"]`);
      if (named) named.click();
    });
  }

  const lost = document.getElementById("lost");
  const live = document.getElementById("live");
  if (!lost || !live) return;

  const connected = (is) => {
    lost.hidden = is;
    live.toggleAttribute("data-connected", is);
  };

  document.addEventListener("htmx:sse:after:connection", () => connected(true));
  document.addEventListener("htmx:sse:error", (event) => {
    // Signed out, not allowed any more, or gone: the page itself says which.
    if ([401, 403, 404].includes(event.detail.status)) window.location.reload();
    else connected(false);
  });
  document.addEventListener("htmx:error", () => connected(false));
})();
