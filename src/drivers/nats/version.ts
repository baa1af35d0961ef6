/** A server's, as INFO says it. */
export class ServerVersion {
  readonly text: string;
  readonly major: number;
  readonly minor: number;
  readonly patch: number;

  constructor(text: string) {
    const [, major, minor, patch] = /^v?(\d+)\.(\d+)\.(\d+)/.exec(text) ?? [];
    this.text = text;
    this.major = Number(major ?? 0);
    this.minor = Number(minor ?? 0);
    this.patch = Number(patch ?? 0);
  }

  atLeast(major: number, minor: number): boolean {
    return this.major > major || (this.major === major && this.minor >= minor);
  }
}
