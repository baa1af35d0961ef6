import { describe, expect, it } from "vitest";
import { Ledger } from "./ledger.ts";

/** What the server does with the tags that it is told; throws where it would close the channel. */
class Server {
  readonly unacked = new Set<number>();
  ack(tag: number, multiple: boolean): void {
    if (!this.unacked.has(tag)) throw new Error(`406 unknown delivery tag ${tag}`);
    for (const each of multiple ? [...this.unacked].filter((one) => one <= tag) : [tag]) this.unacked.delete(each);
  }
}

const held = (count: number): Ledger => {
  const ledger = new Ledger();
  for (let tag = 1; tag <= count; tag += 1) ledger.delivered(tag);
  return ledger;
};

describe("a ledger", () => {
  it("acknowledges a run at once, and nothing above an open one", () => {
    const ledger = held(5);
    for (const tag of [2, 1, 4]) expect(ledger.done(tag)).toBe(true);
    expect(ledger.take(10)).toEqual({ upTo: 2, single: [] });
    expect(ledger.take(10)).toEqual({ upTo: undefined, single: [] });
    ledger.done(3);
    expect(ledger.take(10)).toEqual({ upTo: 4, single: [] });
    expect(ledger.size).toBe(1);
  });

  it("takes a tag once", () => {
    const ledger = held(2);
    expect([ledger.done(1), ledger.done(1), ledger.done(7)]).toEqual([true, false, false]);
    ledger.take(0);
    expect(ledger.done(1)).toBe(false);
  });

  it("never ends a run at a tag that the server was told already", () => {
    const ledger = held(3);
    ledger.done(3);
    expect(ledger.take(0)).toEqual({ upTo: undefined, single: [3] });
    ledger.done(2);
    ledger.done(1);
    expect(ledger.take(0)).toEqual({ upTo: 2, single: [] });
    expect(ledger.size).toBe(0);
    ledger.delivered(4);
    ledger.settled(4);
    expect(ledger.take(0)).toEqual({ upTo: undefined, single: [] });
  });

  it("refuses a tag that does not follow", () => {
    expect(() => held(2).delivered(4)).toThrow("tag 4 does not follow");
  });

  it("settles each once and none too early, in whatever order work ends", () => {
    for (let seed = 1; seed <= 300; seed += 1) {
      let state = seed;
      const random = (below: number): number => (state = (state * 48_271) % 2_147_483_647) % below;
      const [server, ledger, open] = [new Server(), new Ledger(), new Set<number>()];
      let tag = 0;
      const tell = (scattered: number): void => {
        const { upTo, single } = ledger.take(scattered);
        for (const each of single) server.ack(each, false);
        if (upTo !== undefined) server.ack(upTo, true);
      };
      for (let step = 0; step < 200; step += 1) {
        const pick = [...open][random(Math.max(open.size, 1))];
        const what = random(10);
        if (what < 5) {
          tag += 1;
          server.unacked.add(tag);
          open.add(tag);
          ledger.delivered(tag);
        } else if (what < 9 && pick !== undefined) {
          open.delete(pick);
          if (what < 8) ledger.done(pick);
          else if (ledger.settled(pick)) server.unacked.delete(pick);
        } else tell(random(6));
        for (const each of open) if (!server.unacked.has(each)) throw new Error(`${each} was acknowledged while open`);
      }
      for (const each of open) ledger.done(each);
      tell(0);
      expect([seed, server.unacked.size, ledger.size]).toEqual([seed, 0, 0]);
    }
  });
});
