// What a page is asked in the browser. Each check returns a list of sentences that say
// what is wrong.
const checks = {
  async images() {
    const images = [...document.images];
    for (const image of images) image.loading = "eager";
    await Promise.all(images.map((image) => image.decode().catch(() => {})));
    return images
      .filter((image) => !image.complete || !image.naturalWidth)
      .map((image) => `image not shown: ${image.currentSrc || image.src}`);
  },

  async maths() {
    await document.fonts.ready;
    const wrong = [];
    for (const error of document.querySelectorAll(".katex-error"))
      wrong.push(`KaTeX error: ${error.title || error.textContent}`);
    for (const maths of document.querySelectorAll(".math")) {
      const box = maths.querySelector(".katex-html")?.getBoundingClientRect();
      if (!box) wrong.push(`maths not rendered: ${maths.textContent}`);
      else if (isVisible(maths) && !(box.width && box.height))
        wrong.push(`maths without size: ${maths.textContent}`);
    }
    for (const number of document.querySelectorAll("div.math .eqno")) {
      const formula = number.closest(".math");
      if ([...formula.querySelectorAll(".base")].some((part) => meet(part, number)))
        wrong.push(`the equation's number stands on it: ${formula.id}`);
    }
    const fonts = [...document.fonts].filter((font) => font.family.includes("KaTeX"));
    const shown = [...document.querySelectorAll(".katex")].some(isVisible);
    if (shown && !fonts.some((font) => font.status === "loaded"))
      wrong.push("no font of KaTeX is loaded");
    return wrong;
  },

  overflow() {
    const root = document.documentElement;
    const excess = root.scrollWidth - root.clientWidth;
    if (excess <= 0) return [];
    const widest = [...document.body.querySelectorAll("*")]
      .map((element) => [element.getBoundingClientRect().right, element])
      .filter(([right, element]) => right > root.clientWidth && !isClipped(element))
      .sort(([a], [b]) => b - a)
      .map(([, element]) => selector(element));
    const blame = [...new Set(widest)].slice(0, 3).join(", ");
    return [`overflows by ${excess} px: ${blame}`];
  },

  theme(wanted, leastContrast) {
    const wrong = [];
    const { theme } = document.documentElement.dataset;
    if (theme !== wanted) wrong.push(`data-theme is ${theme}, wanted ${wanted}`);
    const ground = luminance(backgrounds(document.body));
    if (wanted === "dark" ? ground > 0.1 : ground < 0.8)
      wrong.push(`the background's luminance is ${ground.toFixed(2)} in ${wanted}`);
    const seen = new Set();
    for (const element of document.querySelectorAll("body :not(.katex *)")) {
      const behind = backgrounds(element);
      const layers = [...behind, getComputedStyle(element).color];
      if (!hasText(element) || !isVisible(element) || seen.has(layers.join())) continue;
      seen.add(layers.join());
      const [low, high] = [luminance(behind), luminance(layers)].sort((a, b) => a - b);
      const contrast = (high + 0.05) / (low + 0.05);
      if (contrast < leastContrast)
        wrong.push(`contrast ${contrast.toFixed(2)} of ${selector(element)}: `
          + element.textContent.trim().slice(0, 40));
    }
    return wrong;
  },

  // axe reads no MathML and nothing of what KaTeX draws, yet takes most of a minute to
  // pass over them. An x at the end of an equally wide box stands for each, so that
  // wide formulas scroll as before. The page is spoilt then, so this check comes last.
  async axe() {
    const drawn = [...document.querySelectorAll(".katex-html")];
    const widths = drawn.map((element) => element.getBoundingClientRect().width);
    drawn.forEach((element, i) => {
      element.replaceChildren("x");
      element.style = `display: inline-block; text-align: right; width: ${widths[i]}px`;
    });
    for (const maths of document.querySelectorAll("math")) maths.replaceChildren();
    const options = { resultTypes: ["violations"], preload: false };
    const { violations } = await axe.run(document, options);
    return violations
      .filter(({ impact }) => ["serious", "critical"].includes(impact))
      .map(({ id, impact, help, nodes }) => {
        const where = nodes.slice(0, 3).map((node) => node.target.join(" "));
        return `axe ${id} (${impact}): ${help}: ${where.join(", ")}`;
      });
  },
};

function isVisible(element) {
  return element.checkVisibility({ visibilityProperty: true });
}

function meet(one, other) {
  const [a, b] = [one, other].map((element) => element.getBoundingClientRect());
  return a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
}

function hasText(element) {
  return [...element.childNodes].some(
    (node) => node.nodeType === Node.TEXT_NODE && /[\p{L}\p{N}]/u.test(node.data));
}

// Whether a box around the element scrolls or cuts it, so that it widens no page.
function isClipped(element) {
  for (let box = element.parentElement; box !== document.body; box = box.parentElement)
    if (getComputedStyle(box).overflowX !== "visible") return true;
  return false;
}

function selector(element) {
  const id = element.id ? `#${element.id}` : "";
  const classes = [...element.classList].map((name) => `.${name}`).join("");
  return element.tagName.toLowerCase() + id + classes;
}

function backgrounds(element) {
  const layers = [];
  for (let box = element; box; box = box.parentElement)
    layers.unshift(getComputedStyle(box).backgroundColor);
  return layers;
}

// WCAG's relative luminance of CSS colours laid over each other on white paper. Any CSS
// notation and transparency will do: a canvas mixes them.
const brush = document.createElement("canvas")
  .getContext("2d", { willReadFrequently: true });

function luminance(layers) {
  for (const colour of ["white", ...layers]) {
    brush.fillStyle = colour;
    brush.fillRect(0, 0, 1, 1);
  }
  const [r, g, b] = [...brush.getImageData(0, 0, 1, 1).data]
    .map((value) => value / 255)
    .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}
