import { styleText } from "node:util";

type Style = Parameters<typeof styleText>[0];
const width = 28;

/** Standard output: colours and a progress bar on a terminal, plain lines elsewhere. */
export class Screen {
  readonly #terminal: boolean = process.stdout.isTTY === true;
  #shownAt = 0;
  #bar = false;

  style(style: Style, text: string): string {
    return this.#terminal ? styleText(style, text, { stream: process.stdout }) : text;
  }

  line(text = ""): void {
    this.#clear();
    console.log(text);
  }

  bar(label: string, done: number, total: number): void {
    const now = performance.now();
    if (!this.#terminal || now - this.#shownAt < 50) return;
    this.#shownAt = now;
    this.#bar = true;
    const share = total === 0 ? 0 : Math.min(done / total, 1);
    const full = Math.round(share * width);
    const drawn = this.style("cyan", "█".repeat(full)) + this.style("dim", "░".repeat(width - full));
    process.stdout.write(`\r\u001b[2K${label} ${drawn} ${Math.floor(share * 100)} %`);
  }

  #clear(): void {
    if (this.#bar) process.stdout.write("\r\u001b[2K");
    this.#bar = false;
  }
}
