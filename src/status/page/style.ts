import { STYLE as COMMON } from '../../html/html.ts';

/** The style of the status page: that of all pages, wider, with its bars. */
export const STYLE = `${COMMON}
:root { --further-1: #6b3fa0; --further-2: #00695c; --good: #1e6b34; }
@media (prefers-color-scheme: dark) {
  :root { --further-1: #c9a6ff; --further-2: #6fd3c1; --good: #7fd394; }
}
body { max-width: 72rem; padding: 1rem 1.25rem 3rem; }
h1 { margin: 0.6rem 0 0; } h2 { border-top: 1px solid var(--line); padding-top: 1rem; margin: 1.5rem 0 0.6rem; }
ul { margin: 0.6rem 0; }
h1.good { color: var(--good); } h1.bad { color: var(--spam); }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 28rem), 1fr)); gap: 0 2rem; }
.pair section { min-width: 0; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 19rem), 1fr)); gap: 0 2rem; }
.plots figure { margin: 1rem 0; min-width: 0; } .plots text { fill: var(--quiet); }
.plots rect, .bars rect { opacity: 0.85; }
.bars { max-width: 36rem; } .bars svg { display: block; width: 100%; height: 0.6rem; margin-bottom: 0.8rem; }
.bars { margin-top: 1rem; } .bars p { margin: 0; } .columns { display: flex; flex-wrap: wrap; gap: 0 3rem; }
summary { color: var(--quiet); font-size: 0.9rem; cursor: pointer; }
dt { font-weight: bold; margin-top: 0.8rem; } dd { margin: 0; }
`;
