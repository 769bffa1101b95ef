// What a page does beyond being read: a link opens the fold it names, the contents show where one is.
(() => {
  const unfold = () => {
    const name = decodeURIComponent(location.hash.slice(1));
    const found = name && document.getElementById(name);
    const fold = found && found.closest("details");
    if (!fold) return;
    fold.open = true;
    fold.scrollIntoView({ block: "start" });
  };
  const here = () => {
    const entry = document.querySelector(".sidebar-tree .current-page");
    const frame = entry && entry.closest(".sidebar-scroll");
    if (!frame) return;
    const place = entry.getBoundingClientRect().top - frame.getBoundingClientRect().top;
    frame.scrollBy({ top: place - frame.clientHeight / 3, behavior: "instant" });
  };
  const move = figure => {
    const frames = [...figure.querySelectorAll(".frame")];
    const label = figure.querySelector(".slider");
    const input = label.querySelector("input");
    const show = () => {
      const frame = frames[input.value];
      frames.forEach(other => other.classList.toggle("shown", other === frame));
      label.querySelector("output").textContent = frame.dataset.says;
      input.setAttribute("aria-valuetext", frame.dataset.says);
    };
    input.addEventListener("input", show);
    label.hidden = false;
    show();
  };
  addEventListener("hashchange", unfold);
  addEventListener("DOMContentLoaded", () => {
    here();
    unfold();
    document.querySelectorAll("figure.moving").forEach(move);
  });
})();
