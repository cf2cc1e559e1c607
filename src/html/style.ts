/** The style of all pages: the reader's own fonts, light or dark as their system is, any width from 360 px. */
export const STYLE = `
:root {
  color-scheme: light dark;
  --ground: #ffffff; --text: #1b1b1f; --quiet: #55565c; --line: #c9c9d0;
  --spam: #b3261e; --ham: #0b57d0; --none: #5f6368;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #151519; --text: #e6e6ea; --quiet: #b4b5bd; --line: #45464f;
    --spam: #ff8a80; --ham: #8ab4f8; --none: #bdc1c6;
  }
}
body {
  margin: 0 auto; padding: 1rem; max-width: 46rem;
  background: var(--ground); color: var(--text);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere;
}
h1 { font-size: 1.5rem; } h2 { font-size: 1.25rem; margin-top: 2.5rem; } h3 { font-size: 1rem; margin: 0; }
p.quiet, .key { color: var(--quiet); font-size: 0.9rem; }
figure { margin: 1.5rem 0; max-width: 36rem; }
figure svg { width: 100%; height: auto; font-size: 12px; }
.key span { white-space: nowrap; margin-right: 1em; }
.key svg { width: 2em; height: 0.8em; vertical-align: middle; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: 0.5rem 0; }
caption { text-align: left; color: var(--quiet); font-size: 0.9rem; }
th, td { padding: 0.2rem 0.6rem; border-bottom: 1px solid var(--line); text-align: right; overflow-wrap: normal; }
th:first-child { text-align: left; overflow-wrap: anywhere; }
@media (max-width: 30rem) { th, td { padding: 0.2rem 0.3rem; font-size: 0.9rem; } }
code, pre { font-size: 0.85rem; } pre { white-space: pre-wrap; }
.spam { color: var(--spam); font-weight: bold; } .ham { color: var(--ham); font-weight: bold; }
`;
