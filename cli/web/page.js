// Runs before textual.js: where the socket is, letters that fit the window; later it gives the terminal the keys.
"use strict";
document.addEventListener("DOMContentLoaded", () => {
  const terminal = document.getElementById("terminal");
  terminal.dataset.sessionWebsocketUrl = "ws://" + location.host + location.pathname + "socket";
  terminal.dataset.fontSize = window.innerWidth < 600 ? "12" : "15";
  const drawn = new MutationObserver(() => {
    const keys = document.querySelector(".xterm-helper-textarea");
    if (!keys || !document.body.classList.contains("-first-byte")) return;
    drawn.disconnect();
    if (!window.matchMedia("(pointer: coarse)").matches) keys.focus();  // a phone would open its keyboard
  });
  drawn.observe(document.body, { attributeFilter: ["class"] });
});
