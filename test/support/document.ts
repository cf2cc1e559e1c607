/** As much of a document as is looked at; linkedom's own types need a browser's. */
export interface Part {
  readonly localName: string;
  readonly outerHTML: string;
  readonly textContent: string;
  readonly attributes: Iterable<{ readonly name: string }>;
  getAttribute(name: string): string | null;
  querySelector(selector: string): Part | null;
  querySelectorAll(selector: string): Iterable<Part>;
}

const LOADS_OR_RUNS = 'script, img, image, link, iframe, object, use, a, base, form';

/** What in a page would load or run something: its elements, and such attributes. */
export function activeParts(document: Part, attributes: RegExp): readonly string[] {
  const elements = [...document.querySelectorAll(LOADS_OR_RUNS)].map(({ localName }) => localName);
  const names = [...document.querySelectorAll('*')].flatMap((each) =>
    [...each.attributes].map(({ name }) => name),
  );
  return [...elements, ...names.filter((name) => attributes.test(name))];
}
