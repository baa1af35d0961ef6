import type { Row } from "./link.ts";
import { stateOf } from "./sqlstate.ts";
import { bytesOf } from "./values.ts";

/** Calls for which bodies come as hex after one of them was no text. */
const hexCalls = 256;
const noText = "22021";

interface Bodies {
  readonly rows: readonly Row[];
  readonly bodyOf: (text: string | null | undefined) => Buffer;
}

const bytesOfText = (text: string | null | undefined): Buffer =>
  text === null || text === undefined ? Buffer.alloc(0) : Buffer.from(text, "utf8");

/**
 * How bodies come: most are texts, which are half as long as hex, and less work on both sides. A call with one that is none is
 * refused as a whole, so that nothing of it counts, and made again.
 */
export class BodyForm {
  #hexLeft = 0;

  /** `ask` is given what stands for the column `o_body`. */
  async read(ask: (body: string) => Promise<readonly Row[]>): Promise<Bodies> {
    if (this.#hexLeft === 0) {
      try {
        return { rows: await ask("convert_from(o_body, 'UTF8')"), bodyOf: bytesOfText };
      } catch (error) {
        if (stateOf(error) !== noText) throw error;
        this.#hexLeft = hexCalls;
      }
    }
    this.#hexLeft -= 1;
    return { rows: await ask("o_body"), bodyOf: bytesOf };
  }
}
