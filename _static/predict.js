// Show the feedback of the choice that was made, and only that.
document.addEventListener("change", ({ target }) => {
  const box = target.closest(".predict");
  if (!box) return;
  for (const note of box.querySelectorAll("[role=status]")) note.hidden = true;
  target.parentNode.querySelector("[role=status]").hidden = false;
});
