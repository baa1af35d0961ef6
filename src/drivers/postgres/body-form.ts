import type { Row } from "./link.ts";
import { stateOf } from "./sqlstate.ts";
import { bytesOf } from "./values.ts";

/** Calls for which bodies come as hex after one of them was no text; twice as many each time that it happens again, up to the last of the two. */
const [fewestHex, mostHex] = [256, 65_536];
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
  #hexCalls = fewestHex;
  /** Calls without one, since the last that had one. */
  #texts = 0;

  /** `ask` is given what stands for the column `o_body`. */
  async read(ask: (body: string) => Promise<readonly Row[]>): Promise<Bodies> {
    if (this.#hexLeft === 0) {
      try {
        const rows = await ask("convert_from(o_body, 'UTF8')");
        this.#texts += 1;
        if (this.#texts === mostHex) this.#hexCalls = fewestHex;
        return { rows, bodyOf: bytesOfText };
      } catch (error) {
        if (stateOf(error) !== noText) throw error;
        this.#hexLeft = this.#hexCalls;
        this.#hexCalls = Math.min(2 * this.#hexCalls, mostHex);
        this.#texts = 0;
      }
    }
    this.#hexLeft -= 1;
    return { rows: await ask("o_body"), bodyOf: bytesOf };
  }
}
