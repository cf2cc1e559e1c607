/* global document, getComputedStyle, NodeFilter */

/**
 * Looks at a page by the browser's own eyes; run in it, as an expression. What is folded is unfolded
 * meanwhile.
 */
(() => {
  const folded = document.querySelectorAll('details');
  for (const each of folded) each.open = true;

  // What reaches over the right edge, and whether the whole page does.
  const edge = document.documentElement.clientWidth;
  const over = [...document.body.querySelectorAll('*')].filter(
    (each) =>
      each.getBoundingClientRect().right > edge + 0.5 &&
      (each.closest('.wide') === null || each.matches('.wide')),
  );
  const overflow = over.map((each) => `${each.tagName} ${each.textContent.slice(0, 40)}`);
  const { scrollWidth } = document.documentElement;
  if (scrollWidth > edge) overflow.unshift(`the page is ${scrollWidth} wide`);

  // Texts with too little contrast (WCAG 2.1) to what is behind them.
  const channels = (colour) => (colour.match(/[\d.]+/g) ?? []).map(Number);
  const luminance = (colour) => {
    const [r, g, b] = channels(colour).map((channel) => {
      const share = channel / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    const { backgroundColor } = getComputedStyle(element);
    const isOpaque = (channels(backgroundColor)[3] ?? 1) > 0;
    return isOpaque ? backgroundColor : behind(element.parentElement);
  };
  const faint = [];
  let texts = 0;
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node !== null; node = walker.nextNode()) {
    const { parentElement: parent, textContent } = node;
    if (textContent.trim() === '' || parent.closest('style') !== null) continue;
    const { color, fill } = getComputedStyle(parent);
    const colours = [parent.closest('svg') === null ? color : fill, behind(parent)];
    const [dark, light] = colours.map(luminance).sort((a, b) => a - b);
    const contrast = (light + 0.05) / (dark + 0.05);
    texts += 1;
    if (!(contrast >= 4.5)) faint.push(`${contrast.toFixed(2)}: ${textContent}`);
  }

  const { innerText: text } = document.body;
  for (const each of folded) each.open = false;
  return { overflow, faint, texts, text };
})();
