import { getHeapStatistics, setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/**
 * Keeps the heap small. V8 would rather let the garbage of a burst pile up than collect it: with
 * 100,000 files waiting the daemon's peak RSS was 168 MB, at a heap of which 12 MB were alive. With
 * the space for young objects kept from growing (3 x 16 MB otherwise) and a collection of some 10 ms
 * when much has piled up it is some 105 MB.
 */
const LARGE_BYTES = 26 * 1024 * 1024;
/** What is alive may be large for good reasons; then only growth is worth a collection. */
const GROWTH_BYTES = 12 * 1024 * 1024;

export class HeapKeeper {
  readonly #collect: (() => void) | undefined = collector();
  #after = 0;
  #hasCollected = false;

  /** To be called a few times a second; collects garbage when there is much of it. */
  look(): void {
    const { used_heap_size: used } = getHeapStatistics();
    // Right after a collection V8 still counts what it has yet to sweep.
    if (this.#hasCollected) this.#after = used;
    this.#hasCollected = used >= Math.max(LARGE_BYTES, this.#after + GROWTH_BYTES);
    if (this.#hasCollected) this.#collect?.();
  }
}

/** V8's own collector, which only a flag brings to light; without it the heap is just larger. */
function collector(): (() => void) | undefined {
  try {
    setFlagsFromString('--semi-space-growth-factor=1');
    setFlagsFromString('--expose-gc');
    const collect: unknown = runInNewContext('gc');
    return typeof collect === 'function'
      ? () => {
          Reflect.apply(collect, undefined, []);
        }
      : undefined;
  } catch {
    return undefined;
  }
}
