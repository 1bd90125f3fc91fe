// Small comforts on every page; all of them work without this file.

// Times come in UTC and are shown in the reader's zone.
for (const time of document.querySelectorAll("time[datetime]")) {
  const moment = new Date(time.dateTime);
  time.title = time.textContent.trim();
  const year = moment.getFullYear() === new Date().getFullYear() ? undefined : "numeric";
  const day = { day: "numeric", month: "short", year };
  const clock = { hour: "2-digit", minute: "2-digit" };
  time.textContent = moment.toLocaleString(undefined, "day" in time.dataset ? day : { ...day, ...clock });
}

// After a mistake in a form the focus is where it was made.
document.querySelector('main [aria-invalid="true"]')?.focus();

// The account menu closes on Escape and when attention goes elsewhere.
const menu = document.querySelector("details.menu");
if (menu) {
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && menu.open) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  });
  for (const kind of ["pointerdown", "focusin"]) {
    document.addEventListener(kind, (event) => {
      if (!menu.contains(event.target)) menu.open = false;
    });
  }
}
