// Hover, focus and arrow keys of one token strip. `onSelect(position, group)` hears every choice;
// the function that is returned marks a position chosen elsewhere, in every group.
function wireStrip(root, onSelect) {
  const said = root.querySelector(".wb-said");
  const hint = said.textContent;
  let on = root.querySelector(".wb-on");
  const tokenOf = (node) => (node.closest ? node.closest(".wb-t") : null);
  const say = (token) => { said.textContent = token ? token.title : on ? on.title : hint; };
  const choose = (token, tell) => {
    if (!token) return;
    if (on) on.classList.remove("wb-on");
    on = token;
    on.classList.add("wb-on");
    on.scrollIntoView({ block: "nearest", inline: "nearest" });
    say(on);
    if (tell && onSelect) onSelect(Number(on.dataset.i), on.closest(".wb-tokens").dataset.group);
  };
  const inNextLine = (tokens, index, step) => {
    const here = tokens[index].getBoundingClientRect();
    let best = null, gap = Infinity, line = null;
    for (let i = index + step; i >= 0 && i < tokens.length; i += step) {
      const box = tokens[i].getBoundingClientRect();
      if (Math.abs(box.top - here.top) < 4) continue;
      if (line === null) line = box.top;
      if (Math.abs(box.top - line) > 4) break;
      const away = Math.abs(box.left - here.left);
      if (away < gap) { gap = away; best = tokens[i]; }
    }
    return best || tokens[index];
  };
  for (const box of root.querySelectorAll(".wb-tokens")) {
    const tokens = [...box.querySelectorAll(".wb-t")];
    let later = 0;
    const move = (token) => {
      choose(token, false);
      clearTimeout(later);
      later = setTimeout(() => choose(token, true), 250);
    };
    box.addEventListener("mouseover", (event) => say(tokenOf(event.target)));
    box.addEventListener("mouseleave", () => say(null));
    box.addEventListener("click", (event) => choose(tokenOf(event.target), true));
    box.addEventListener("keydown", (event) => {
      const index = tokens.indexOf(on);
      const start = index < 0;
      const next = {
        ArrowRight: () => tokens[start ? 0 : Math.min(index + 1, tokens.length - 1)],
        ArrowLeft: () => tokens[start ? 0 : Math.max(index - 1, 0)],
        ArrowDown: () => (start ? tokens[0] : inNextLine(tokens, index, 1)),
        ArrowUp: () => (start ? tokens[0] : inNextLine(tokens, index, -1)),
        Home: () => tokens[0],
        End: () => tokens[tokens.length - 1],
      }[event.key];
      if (next) { event.preventDefault(); move(next()); }
    });
  }
  if (on) say(on);
  return (position) => {
    if (on && Number(on.dataset.i) === position) return;
    const found = position === null ? null : root.querySelector(`.wb-t[data-i="${position}"]`);
    if (found) choose(found, false);
  };
}
