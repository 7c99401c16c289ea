// What the server cannot do: say that the connection is lost, and go to the sign-in when it is over.
(() => {
  "use strict";
  // On a phone the navigation may be wider than the window. (scrollIntoView would move where the Tab key begins.)
  const current = document.querySelector(".bar nav [aria-current]");
  const nav = current && current.closest("nav");
  if (nav) nav.scrollLeft = current.offsetLeft - (nav.clientWidth - current.offsetWidth) / 2;

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
