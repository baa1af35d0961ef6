import { closeSync, openSync, readSync } from "node:fs";

const headerBytes = 32;
const frameBytes = 24;
/** What a log and each of its frames begin with to tell them from those of the log before: where, and how much. */
const saltOfLog = 16;
const saltOfFrame = 8;
const saltBytes = 8;

/**
 * How long the write-ahead log is, by its documented format: SQLite says so only in the versions that Node 22.22 does not yet
 * have, and the file itself never gets shorter. Its locks are in other files, so closing this one drops none.
 */
export class LogFile {
  readonly #path: string;
  readonly #pageSize: number;
  readonly #salt = Buffer.alloc(saltBytes);
  readonly #found = Buffer.alloc(saltBytes);
  #file: number | undefined;

  constructor(path: string, pageSize: number) {
    this.#path = path;
    this.#pageSize = pageSize;
  }

  /**
   * The log that is being written now holds so many pages. One whose copy is complete counts until the next write begins anew,
   * one that can't be opened just now (too many files are) does not.
   */
  reaches(pages: number): boolean {
    try {
      this.#file ??= openSync(this.#path, "r");
    } catch {
      return false;
    }
    const frame = headerBytes + (pages - 1) * (frameBytes + this.#pageSize);
    return (
      readSync(this.#file, this.#found, 0, saltBytes, frame + saltOfFrame) === saltBytes &&
      readSync(this.#file, this.#salt, 0, saltBytes, saltOfLog) === saltBytes &&
      this.#found.equals(this.#salt)
    );
  }

  close(): void {
    if (this.#file !== undefined) closeSync(this.#file);
    this.#file = undefined;
  }
}
