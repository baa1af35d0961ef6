import { describe, expect, it } from "vitest";
import { turns } from "../test/support/driver-harness.ts";
import { ManualClock } from "../test/support/manual-clock.ts";
import { Counters } from "./counters.ts";
import type { Core } from "./core.ts";
import type { Consumption, DriverConnection } from "./driver.ts";
import { memory } from "./drivers/memory/index.ts";
import { StatusBoard } from "./status-board.ts";
import { Supervisor } from "./supervisor.ts";
import { TimerWheel } from "./timer-wheel.ts";

/** A line that is there or not, tries to open something over it, and a clock that stands still. */
class Line {
  readonly clock = new ManualClock();
  readonly whenBack = new Set<() => void>();
  readonly supervisor: Supervisor;
  tries = 0;
  isUp = true;
  closed = 0;
  /** What is done once it is open. */
  opened: () => unknown = () => undefined;
  /** Waited for by each try, after it has looked whether the line is there. */
  gate: Promise<void> | undefined;

  constructor(maxAttempts = Number.POSITIVE_INFINITY) {
    const { clock, whenBack } = this;
    const reconnect = { maxAttempts, minMs: 100, maxMs: 3_600_000 };
    const core = {
      clock,
      wheel: new TimerWheel(clock),
      options: { reconnect },
      counters: new Counters(),
      board: new StatusBoard("bus", undefined),
    } as unknown as Core;
    const connection = { consume: () => this.#consume() } as unknown as DriverConnection;
    const broker = { driver: memory(), active: connection, ready: () => Promise.resolve(connection), whenBack };
    this.supervisor = new Supervisor(core, broker, {
      what: "it",
      source: () => ({ kind: "inbox" }),
      prepare: () => Promise.resolve(),
      window: () => ({ messages: 1, bytes: 1 }),
      deliver: () => undefined,
      revoked: () => undefined,
      opened: () => this.opened(),
    });
  }

  async #consume(): Promise<Consumption> {
    this.tries += 1;
    const { isUp } = this;
    await this.gate;
    if (!isUp) throw new Error("there is no line");
    return { close: async () => void (this.closed += 1) } as unknown as Consumption;
  }

  lose(): void {
    this.isUp = false;
    this.supervisor.ended(new Error("the line broke"), false);
  }

  back(): void {
    this.isUp = true;
    for (const back of [...this.whenBack]) back();
  }

  async pass(ms: number): Promise<void> {
    this.clock.advance(ms);
    await turns();
  }

  /** Until so many tries have failed; the next is then far away. */
  async fail(tries: number): Promise<void> {
    while (this.tries < tries) await this.pass(1_000);
  }
}

describe("what opens a subscription again", () => {
  it("tries soon when there is a line again, however long it has waited for one", async () => {
    const line = new Line();
    await line.supervisor.open();
    line.lose();
    await line.fail(10);
    line.back();
    await line.pass(110);
    expect(line.supervisor.state).toBe("running");
    expect(line.whenBack.size).toBe(0);
  });

  it("tries soon again after a try that began before there was one", async () => {
    const line = new Line();
    await line.supervisor.open();
    line.lose();
    const held = Promise.withResolvers<void>();
    await line.fail(9);
    line.gate = held.promise;
    await line.fail(10);
    line.back();
    held.resolve();
    await turns();
    expect(line.supervisor.state).toBe("recovering");
    await line.pass(110);
    expect(line.supervisor.state).toBe("running");
  });

  it("waits longer from try to try again when a line that is back does not help", async () => {
    const line = new Line();
    await line.supervisor.open();
    line.lose();
    await line.fail(5);
    line.back();
    line.isUp = false;
    await line.pass(110);
    expect(line.tries).toBe(6);
    await line.pass(90); // 100 at least
    expect(line.tries).toBe(6);
    await line.pass(120);
    expect(line.tries).toBe(7);
  });

  it("closes what opened but can't do what it is for, and waits longer from try to try", async () => {
    const line = new Line();
    await line.supervisor.open();
    line.opened = () => Promise.reject(new Error("not that"));
    line.supervisor.ended(new Error("the line broke"), false);
    await line.pass(110);
    expect([line.tries, line.closed, line.supervisor.state, line.supervisor.consumption]).toEqual([
      2,
      1,
      "recovering",
      undefined,
    ]);
    await line.pass(90); // 100 at least
    expect(line.tries).toBe(2);
    line.opened = () => undefined;
    await line.pass(120);
    expect([line.tries, line.closed, line.supervisor.state]).toEqual([3, 1, "running"]);
  });

  it("hears nothing of a try that fails after it was closed and opened again", async () => {
    const line = new Line(1);
    await line.supervisor.open();
    line.lose();
    const held = Promise.withResolvers<void>();
    line.gate = held.promise;
    await line.pass(110);
    await line.supervisor.close(AbortSignal.abort());
    line.gate = undefined;
    line.isUp = true;
    await line.supervisor.open();
    line.lose();
    held.resolve();
    await turns();
    expect(line.supervisor.state).toBe("recovering");
    line.isUp = true;
    await line.pass(110);
    expect([line.supervisor.state, line.tries]).toEqual(["running", 4]);
  });

  it("is opened once, however many ask, and again once it was given up", async () => {
    const line = new Line(1);
    await Promise.all([line.supervisor.open(), line.supervisor.open()]);
    await line.supervisor.open();
    expect(line.tries).toBe(1);
    line.lose();
    await line.pass(110);
    expect(line.supervisor.state).toBe("closed");
    line.isUp = true;
    await line.supervisor.open();
    expect([line.supervisor.state, line.supervisor.failure]).toEqual(["running", undefined]);
  });

  it.each(["closed", "given up"])("leaves nothing behind when it is %s", async (how) => {
    const line = new Line(3);
    await line.supervisor.open();
    line.lose();
    if (how === "closed") await line.supervisor.close(AbortSignal.abort());
    else await line.fail(4);
    await line.pass(3_600_000);
    expect(line.supervisor.state).toBe("closed");
    expect([line.whenBack.size, line.clock.timers]).toEqual([0, 0]);
    const { tries } = line;
    line.back();
    await line.pass(3_600_000);
    expect(line.tries).toBe(tries);
  });
});
