import { describe, expect, it } from "vitest";
import { Seam } from "./seam.ts";

interface Step {
  readonly at: number;
  readonly do: () => void;
}

/**
 * Channels publish, and each message is routed in one instant; the log, the group's queue and the seam queue take it later, each in
 * its own time but in the order of its channel. Gives what the group got, and what was published.
 */
function run(
  seed: number,
  lateLog: boolean,
): { readonly got: readonly string[]; readonly published: readonly string[] } {
  let state = seed;
  const random = (below: number): number => (state = (state * 48_271) % 2_147_483_647) % below;
  const boundAt = 100 + random(50);
  // The first marker is in the log before the binding is asked for: that its confirm is waited for matters.
  const [first, last] = [boundAt - 11 - random(20), boundAt + 1 + random(20)];
  const steps: Step[] = [];
  const [log, queue, live]: [string[], string[], string[]] = [[], [], []];
  const published: string[] = [];

  const send = (id: string, routedAt: number, behind: number[]): void => {
    const isMarker = id.startsWith("M");
    const targets: [string[], number][] = [[log, 0]];
    if (routedAt > boundAt && !isMarker) targets.push([queue, 1]);
    if (isMarker || routedAt > boundAt) targets.push([live, 2]);
    for (const [target, slot] of targets) {
      const late = lateLog && slot === 0 && !isMarker && random(20) === 0 ? 200 : 0;
      const at = Math.max(routedAt + random(10) + late, (behind[slot] ?? 0) + 0.001);
      behind[slot] = at;
      steps.push({ at, do: () => target.push(id) });
    }
  };
  for (let channel = 0; channel < 5; channel += 1) {
    const behind: number[] = [];
    let at = random(10);
    for (let n = 0; at < 250; n += 1) {
      const id = `${channel}-${n}`;
      published.push(id);
      send(id, at + 0.5, behind);
      at += 1 + random(12);
    }
  }
  send("M0", first, []);
  send("M1", last, []);
  for (const { do: act } of steps.toSorted((a, b) => a.at - b.at)) act();

  const seam = new Seam("M0", "M1");
  const before = log.slice(0, log.indexOf("M0"));
  const copied: string[] = [];
  // Both are read in pieces, in turns that chance decides.
  for (let [l, q] = [0, 0]; l < log.length || q < live.length;) {
    if (l < log.length && (q === live.length || random(2) === 0)) seam.log(log[l]!, l++, true);
    else seam.live(live[q++]!);
  }
  expect(seam.passed).toBe(true);
  for (const offset of seam.take()) copied.push(log[offset]!);
  expect(seam.take()).toEqual([]);
  return { got: [...before, ...copied, ...queue], published };
}

describe("a seam", () => {
  it.each([false, true])("loses nothing and repeats nothing (some are stored late in the log: %s)", (lateLog) => {
    for (let seed = 1; seed <= 300; seed += 1) {
      const { got, published } = run(seed, lateLog);
      expect([seed, got.toSorted()]).toEqual([seed, published.toSorted()]);
    }
  });

  it("is passed when both have passed the last marker", () => {
    const seam = new Seam("M0", "M1");
    seam.log("M0", 0, false);
    seam.log("M1", 1, false);
    expect(seam.passed).toBe(false);
    seam.live("M1");
    expect(seam.passed).toBe(true);
  });

  it("leaves out what the group does not read, and what was before", () => {
    const seam = new Seam("M0", "M1");
    seam.log("old", 3, true);
    seam.log("M0", 4, false);
    seam.log("foreign", 5, false);
    seam.log("ours", 6, true);
    expect(seam.take()).toEqual([6]);
  });

  it("gives one that was stored late with the next look", () => {
    const seam = new Seam("M0", "M1");
    seam.log("M0", 0, false);
    seam.log("a", 1, true);
    expect(seam.take()).toEqual([1]);
    seam.log("b", 2, true);
    seam.log("c", 3, true);
    seam.live("c");
    expect(seam.take()).toEqual([2]);
  });

  it("says what has to be held, and what no longer", () => {
    const seam = new Seam("M0", "M1");
    seam.live("b");
    expect(seam.log("M0", 0, false)).toBe(false);
    expect([seam.log("a", 1, true), seam.log("b", 2, true), seam.log("c", 3, false), seam.log("a", 4, true)]).toEqual([
      true,
      false,
      false,
      true,
    ]);
    expect([seam.live("a"), seam.live("a"), seam.live("d")]).toEqual([[1, 4], [], []]);
    expect(seam.take()).toEqual([]);
  });
});
