import { STYLE as COMMON } from '../../html/style.ts';

/** The style of the page: that of all pages, and the list of disputed judgements. */
export const STYLE = `${COMMON}
figure { max-width: 31rem; }
ol.disputed { padding-left: 2.5rem; } ol.disputed li { margin-bottom: 0.8rem; }
`;
