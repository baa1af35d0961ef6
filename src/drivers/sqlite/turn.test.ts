import { describe, expect, it } from "vitest";
import { codeOf, publish, turns, until } from "../../../test/support/driver-harness.ts";
import { ManualClock } from "../../../test/support/manual-clock.ts";
import { newWorld } from "../../../test/support/sqlite-world.ts";
import { Database } from "./database.ts";
import { Turn, type Job, type Phase, type TurnEvents } from "./turn.ts";

interface Made {
  readonly database: Database;
  readonly turn: Turn;
  readonly clock: ManualClock;
  readonly said: string[];
  readonly events: TurnEvents;
  /** A job that inserts a value; `fails`: after it did. */
  readonly job: (value: number, fails?: boolean) => Job & { outcome: string };
  readonly values: () => unknown[];
}

function make(): Made {
  const world = newWorld();
  const database = new Database({ path: world.path, prefix: "t", synchronous: "FULL", create: true });
  database.exec("CREATE TABLE a (value INTEGER)");
  database.exec("CREATE TABLE marks (value INTEGER)");
  const said: string[] = [];
  const clock = new ManualClock();
  const events: TurnEvents = {
    entered: () => undefined,
    blocked: () => said.push("blocked"),
    unblocked: () => said.push("unblocked"),
    trouble: (error) => said.push(`trouble ${String(error)}`),
    mark: () => void database.query("INSERT INTO marks VALUES (1)").run(),
    left: (committed) => void (committed && said.push("commit")),
  };
  const turn = new Turn(database, clock, 1_000, events);
  return {
    database,
    turn,
    clock,
    said,
    events,
    job: (value, fails = false) => {
      const job = {
        outcome: "",
        run: () => {
          database.query("INSERT INTO a VALUES (?)").run(value);
          if (fails) throw new Error("refused");
        },
        committed: () => (job.outcome = "done"),
        failed: (error: unknown, stored: string) => (job.outcome = `${stored} ${(error as Error).message}`),
      };
      return job;
    },
    values: () =>
      database
        .query<{ readonly value: number }>("SELECT value FROM a")
        .all()
        .map(({ value }) => value),
  };
}

describe("a turn", () => {
  it("is one transaction: settlements first, then publishes, then claims", async () => {
    const { turn, job, said, values } = make();
    const jobs = [job(3), job(1), job(2)];
    turn.add(jobs[0]!, "claim");
    turn.add(jobs[1]!, "settle");
    turn.add(jobs[2]!, "write");
    turn.add(jobs[2]!, "write");
    expect(values()).toEqual([]);
    await turn.settled();
    expect(values()).toEqual([1, 2, 3]);
    expect(said).toEqual(["commit"]);
    expect(jobs.map(({ outcome }) => outcome)).toEqual(["done", "done", "done"]);
  });

  it("does without the job that throws, and keeps the order of the others", async () => {
    const { turn, job, values } = make();
    const jobs = [job(1), job(2, true), job(3)];
    for (const each of jobs) turn.add(each, "write");
    await turn.settled();
    expect(values()).toEqual([1, 3]);
    expect(jobs.map(({ outcome }) => outcome)).toEqual(["done", "no refused", "done"]);
  });

  it("waits for another's lock without standing still, says when it takes long, and goes on", async () => {
    const { database, turn, job, said, clock, values } = make();
    const other = new Database({ path: database.path, prefix: "t", synchronous: "FULL", create: false });
    other.begin();
    const waiting = job(1);
    turn.add(waiting, "write");
    for (let n = 0; n < 20; n += 1) {
      await turns(1);
      clock.advance(4);
    }
    expect([waiting.outcome, said]).toEqual(["", []]);
    for (let n = 0; n < 400; n += 1) {
      clock.advance(4);
      if (said.length > 0) break;
    }
    expect(said).toEqual(["blocked"]);
    other.commit();
    other.close();
    await until(() => {
      clock.advance(4);
      return waiting.outcome !== "";
    }, "the lock");
    expect(values()).toEqual([1]);
    expect(said).toEqual(["blocked", "unblocked", "commit"]);
  });

  it("never tells a job twice, nor says that another's lock was its failure, when the lock comes between", async () => {
    const { database, turn, job, clock, values } = make();
    const other = new Database({ path: database.path, prefix: "t", synchronous: "FULL", create: false });
    const first = job(1, true);
    const second = job(2);
    // While the first is alone in its transaction the other takes the lock for the next one.
    const failed = first.failed.bind(first);
    first.failed = (error, stored) => {
      failed(error, stored);
      other.begin();
    };
    turn.add(first, "write");
    turn.add(second, "write");
    await until(() => first.outcome !== "", "the first");
    await turns(2);
    expect([first.outcome, second.outcome]).toEqual(["no refused", ""]);
    other.commit();
    other.close();
    await until(() => {
      clock.advance(4);
      return second.outcome !== "";
    }, "the second");
    expect(values()).toEqual([2]);
  });

  it("tells every job, and goes on, when the file can't be rolled back or was closed within it", async () => {
    const { database, turn, job, values } = make();
    const jobs = [job(1, true), job(2)];
    failOnce(database.query("ROLLBACK"), "run", [], 10);
    turn.add(jobs[0]!, "write");
    await turn.settled();
    expect(jobs[0]!.outcome).toBe("no refused");
    turn.add(jobs[1]!, "write");
    await turn.settled();
    expect([jobs[1]!.outcome, values()]).toEqual(["done", [2]]);
    const closing = job(3);
    closing.run = () => {
      turn.close();
      database.close();
    };
    const beside = job(4);
    turn.add(closing, "write");
    turn.add(beside, "write");
    await until(() => closing.outcome !== "" && beside.outcome !== "", "both to be told");
    expect([closing.outcome, beside.outcome]).toEqual([
      expect.stringMatching(/^no /) as string,
      expect.stringMatching(/^no /) as string,
    ]);
  });

  it("fails what waits, and what comes later, when it is closed", async () => {
    const { turn, job } = make();
    const waiting = job(1);
    turn.add(waiting, "write");
    turn.close();
    expect(waiting.outcome).toMatch(/^no /);
    expect(await codeOf(turn.do(() => 1))).toBe("ERR_INVALID_STATE");
  });
});

describe("a turn is synced", () => {
  /** What the pragma said while a job ran that writes, or with `idle` doesn't: 1 writes the log, 2 syncs it too. */
  const level = ({ database, turn }: Made, phase: Phase, lasting?: boolean, idle = false): Promise<number> =>
    new Promise((resolve, reject) => {
      let found = 0;
      turn.add(
        {
          run: () => {
            if (!idle) database.query("INSERT INTO a VALUES (0)").run();
            found = levelOf(database);
          },
          committed: () => resolve(found),
          failed: reject,
        },
        phase,
        lasting,
      );
    });
  const levelOf = (database: Database): number =>
    database.query<{ readonly synchronous: number }>("PRAGMA synchronous").get()?.synchronous ?? 0;
  const marks = ({ database }: Made): number => database.query("SELECT * FROM marks").all().length;

  it("when something is published or must last, not for what is only claimed and settled", async () => {
    const made = make();
    expect(await level(made, "write")).toBe(2);
    expect([await level(made, "settle"), await level(made, "claim")]).toEqual([1, 1]);
    expect(await Promise.all([level(made, "settle"), level(made, "write"), level(made, "claim")])).toEqual([2, 2, 2]);
    expect(await level(made, "settle", true)).toBe(2);
    expect(levelOf(made.database)).toBe(2);
  });

  it("when it waits on while a callback adds something that must last", async () => {
    const made = make();
    const other = new Database({ path: made.database.path, prefix: "t", synchronous: "FULL", create: false });
    other.begin();
    const levels: Promise<number>[] = [level(made, "settle")];
    made.events.unblocked = () => void levels.push(level(made, "write"));
    await until(() => {
      made.clock.advance(4);
      return made.said.includes("blocked");
    }, "the lock to be noticed");
    other.commit();
    other.close();
    await until(() => {
      made.clock.advance(4);
      return levels.length === 2;
    }, "the lock");
    expect((await Promise.all(levels))[1]).toBe(2);
  });

  it("100 ms after what was committed first without, and is then sure to write", async () => {
    const made = make();
    expect(await level(made, "settle")).toBe(1);
    made.clock.advance(99);
    expect(await level(made, "settle")).toBe(1);
    made.clock.advance(1);
    expect(await level(made, "claim", false, true)).toBe(2);
    expect(marks(made)).toBe(1);
    expect(await level(made, "settle")).toBe(1);
    made.clock.advance(99);
    expect(await level(made, "claim", false, true)).toBe(1);
  });

  it("not by one that must last and writes nothing: what waits to be synced waits on", async () => {
    const made = make();
    expect(await level(made, "settle")).toBe(1);
    expect(await level(made, "write", true, true)).toBe(2);
    made.clock.advance(100);
    expect(await level(made, "settle")).toBe(2);
  });

  it("by itself half a second after what was committed without, and only then is there a timer", async () => {
    const made = make();
    expect(await level(made, "write")).toBe(2);
    expect(await level(made, "claim", false, true)).toBe(1);
    expect(made.clock.timers).toBe(0);
    expect([await level(made, "settle"), await level(made, "settle")]).toEqual([1, 1]);
    expect(made.clock.timers).toBe(1);
    made.clock.advance(499);
    await turns();
    expect(marks(made)).toBe(0);
    made.clock.advance(1);
    await made.turn.settled();
    expect([marks(made), made.clock.timers]).toEqual([1, 0]);
    expect(await level(made, "settle")).toBe(1);
    made.turn.close();
    expect(made.clock.timers).toBe(0);
  });

  it("and all that was not is copied out of the log, once a commit has failed, before anything is written", async () => {
    const { database, turn, job, values } = make();
    const did: string[] = [];
    failOnce(database, "commit", did, 1_034);
    failOnce(database, "restartLog", did, 13);
    const jobs = [job(1), job(2), job(3), job(4)];
    for (const each of jobs) {
      turn.add(each, "settle");
      await turn.settled();
      did.push(each.outcome);
    }
    expect(did).toEqual([
      "commit",
      "unknown failed",
      "restartLog",
      "no failed",
      "restartLog",
      "commit",
      "done",
      "commit",
      "done",
    ]);
    expect(values()).toEqual([3, 4]);
  });

  it("and waits while another reads the log that has to be copied", async () => {
    const { database, turn, clock, job, said, values } = make();
    failOnce(database, "commit", [], 1_034);
    const jobs = [job(1), job(2)];
    turn.add(jobs[0]!, "write");
    await turn.settled();
    const reader = new Database({ path: database.path, prefix: "t", synchronous: "FULL", create: false });
    reader.exec("BEGIN; SELECT * FROM a");
    reader.query("SELECT * FROM a").get();
    turn.add(jobs[1]!, "write");
    await turns(10);
    clock.advance(4);
    await turns(10);
    expect([jobs[1]!.outcome, values()]).toEqual(["", []]);
    reader.exec("COMMIT");
    reader.close();
    await until(() => {
      clock.advance(4);
      return jobs[1]!.outcome !== "";
    }, "the reader");
    expect([jobs[1]!.outcome, values()]).toEqual(["done", [2]]);
    expect(said.at(-1)).toBe("commit");
  });

  it("and copies a long log itself, and what it could not copy before it writes more", async () => {
    const { database, turn, job, said } = make();
    const fill = (): Promise<void> =>
      turn.do(() => void database.query("INSERT INTO a VALUES (zeroblob(?))").run(8_192 * 600));
    const restart = database.restartLog.bind(database);
    let restarted = 0;
    database.restartLog = () => {
      restarted += 1;
      restart();
    };
    const log = (): unknown => database.query("PRAGMA wal_checkpoint(PASSIVE)").get();
    await fill();
    await turn.do(() => void database.query("INSERT INTO a VALUES (1)").run());
    expect(log()).toMatchObject({ log: 1 });
    failOnce(database, "checkpoint", [], 1_034);
    await fill();
    expect(said).toContain("trouble Error: failed");
    turn.add(job(1), "settle");
    await turn.settled();
    expect(restarted).toBe(1);
  });

  it("again, when going back from a turn that was not could not be done at once", async () => {
    const made = make();
    const { database } = made;
    const exec = database.raw.exec.bind(database.raw);
    let refused = 2;
    database.raw.exec = (sql) => {
      if (sql.endsWith("= FULL") && refused > 0) {
        refused -= 1;
        throw new Error("refused");
      }
      exec(sql);
    };
    expect(await level(made, "settle")).toBe(1);
    await expect(level(made, "write")).rejects.toThrow("refused");
    expect(await level(made, "write")).toBe(2);
  });
});

/** The first call of a method fails as a system call does; later ones are done. */
function failOnce<Name extends string>(
  target: Record<Name, () => unknown>,
  name: Name,
  did: string[],
  errcode: number,
): void {
  const real = target[name].bind(target);
  let fails = true;
  target[name] = () => {
    did.push(name);
    if (!fails) return real();
    fails = false;
    throw Object.assign(new Error("failed"), { errcode });
  };
}

describe("group commit", () => {
  it("stores a thousand publishes of one turn in one commit, and tells nobody before it", async () => {
    const world = newWorld();
    const { connection } = await world.connect();
    const watcher = world.raw();
    const version = (): number =>
      (watcher.prepare("PRAGMA data_version").get() as { readonly data_version: number }).data_version;
    const before = version();
    const sent = publish(
      connection,
      Array.from({ length: 1_000 }, (_, n) => String(n)),
    );
    expect(version()).toBe(before);
    await until(() => sent.every(({ outcome }) => outcome === "stored"), "all of them");
    expect(version()).toBe(before + 1);
    watcher.close();
  });
});
