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
