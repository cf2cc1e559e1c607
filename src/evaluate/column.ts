/** A column of numbers that grows: eight bytes for each, and no object. */
export class Column {
  #values = new Float64Array(1_024);
  #length = 0;

  push(value: number): void {
    if (this.#length === this.#values.length) {
      const larger = new Float64Array(2 * this.#length);
      larger.set(this.#values);
      this.#values = larger;
    }
    this.#values[this.#length] = value;
    this.#length += 1;
  }

  get length(): number {
    return this.#length;
  }

  /** @throws {RangeError} for a place that has no number */
  at(index: number): number {
    const value = index < this.#length ? this.#values[index] : undefined;
    if (value === undefined) throw new RangeError(`no number at ${index}`);
    return value;
  }

  /** All of them; good until the next one is pushed. */
  get values(): Float64Array {
    return this.#values.subarray(0, this.#length);
  }
}
