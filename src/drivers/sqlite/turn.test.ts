import { describe, expect, it } from "vitest";
import { codeOf, publish, turns, until } from "../../../test/support/driver-harness.ts";
import { ManualClock } from "../../../test/support/manual-clock.ts";
import { newWorld } from "../../../test/support/sqlite-world.ts";
import { Database } from "./database.ts";
import { Turn, type Job, type Phase } from "./turn.ts";

interface Made {
  readonly database: Database;
  readonly turn: Turn;
  readonly clock: ManualClock;
  readonly said: string[];
  /** A job that inserts a value; `fails`: after it did. */
  readonly job: (value: number, fails?: boolean) => Job & { outcome: string };
  readonly values: () => unknown[];
}

function make(): Made {
  const world = newWorld();
  const database = new Database({ path: world.path, prefix: "t", synchronous: "FULL", create: true });
  database.exec("CREATE TABLE a (value INTEGER)");
  const said: string[] = [];
  const clock = new ManualClock();
  const turn = new Turn(database, clock, 1_000, {
    entered: () => undefined,
    blocked: () => said.push("blocked"),
    unblocked: () => said.push("unblocked"),
    trouble: (error) => said.push(`trouble ${String(error)}`),
    left: (committed) => void (committed && said.push("commit")),
  });
  return {
    database,
    turn,
    clock,
    said,
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
  /** What the pragma said while the job ran: 1 writes the log, 2 syncs it too. */
  const level = ({ database, turn }: Made, phase: Phase, lasting?: boolean): Promise<number> =>
    new Promise((resolve, reject) => {
      let found = 0;
      turn.add(
        {
          run: () => {
            const row = database.query<{ readonly synchronous: number }>("PRAGMA synchronous").get();
            found = row?.synchronous ?? 0;
          },
          committed: () => resolve(found),
          failed: reject,
        },
        phase,
        lasting,
      );
    });

  it("when something is published or must last, not for what is only claimed and settled", async () => {
    const made = make();
    expect(await level(made, "write")).toBe(2);
    expect([await level(made, "settle"), await level(made, "claim")]).toEqual([1, 1]);
    expect(await Promise.all([level(made, "settle"), level(made, "write"), level(made, "claim")])).toEqual([2, 2, 2]);
    expect(await level(made, "settle", true)).toBe(2);
    expect(made.database.query("PRAGMA synchronous").get()).toEqual({ synchronous: 2 });
    expect(made.database.query("PRAGMA wal_autocheckpoint").get()).toEqual({ wal_autocheckpoint: 500 });
  });

  it("every 100 ms while turns follow each other", async () => {
    const made = make();
    expect(await level(made, "settle")).toBe(2);
    made.clock.advance(99);
    expect(await level(made, "settle")).toBe(1);
    made.clock.advance(1);
    expect([await level(made, "settle"), await level(made, "settle")]).toEqual([2, 1]);
  });

  it("and all that was not synced is copied out of the log, once a commit has failed, before anything is acknowledged", async () => {
    const { database, turn, job, values } = make();
    const did: string[] = [];
    for (const name of ["commit", "restartLog"] as const) {
      const real = database[name].bind(database);
      let fails = true;
      database[name] = () => {
        did.push(name);
        if (!fails) return real();
        fails = false;
        throw Object.assign(new Error("disk I/O error"), { errcode: 1_034 });
      };
    }
    const jobs = [job(1), job(2), job(3), job(4)];
    for (const each of jobs) {
      turn.add(each, "settle");
      await turn.settled();
      did.push(each.outcome);
    }
    const failed = "unknown disk I/O error";
    expect(did).toEqual([
      "commit",
      failed,
      "commit",
      "restartLog",
      failed,
      "commit",
      "restartLog",
      "done",
      "commit",
      "done",
    ]);
    expect(values()).toEqual([2, 3, 4]);
  });
});

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
