import { hash } from "node:crypto";
import { memory } from "../../src/drivers/memory/index.ts";
import { sqlite } from "../../src/drivers/sqlite/index.ts";
import { type Bus, connect, defineEvent, defineRequest, typed } from "../../src/index.ts";

/** What a process of the soak is told. */
export interface SoakInput {
  readonly driver: "memory" | "sqlite";
  /** Where the file of sqlite is; it has the folder to itself. */
  readonly folder: string;
  /** The length of a chapter: how often a bus is closed and connected again. */
  readonly beatMs: number;
  /** Events a second, of this process. */
  readonly rate: number;
  /** Of the stream: what is handled has to go. */
  readonly maxMessages: number;
  /** Of a process that is killed: whose events are whose. */
  readonly chapter?: string | undefined;
}

export interface SoakData {
  readonly region: string;
  /** Of its key, from 0 without gaps; undefined: it has no key. */
  readonly sequence?: number | undefined;
  /** When it was published, and before when nobody may get it, by the wall clock. */
  readonly at: number;
  readonly due?: number | undefined;
  /** Its first attempt fails. */
  readonly fails?: boolean | undefined;
  readonly text: string;
}

const schema = typed<SoakData>();
export const Order = defineEvent("soak.order", { schema, topic: "soak.orders.{region}" });
export const Payment = defineEvent("soak.payment", { schema, topic: "soak.payments.{region}" });
/** Rejected while it is younger than `badMs`: a letter, which is handled when it is replayed. */
export const Bad = defineEvent("soak.bad", { schema });
export const Later = defineEvent("soak.later", { schema });
export const all = [Order, Payment, Bad, Later] as const;
export const badMs = 500;

export const Double = defineRequest("soak.double", {
  request: typed<{ readonly n: number }>(),
  response: typed<{ readonly n: number }>(),
});

export const ordered = "ordered";
export const unordered = "unordered";
export const tail = "tail";

/** The wall clock with fractions, which all processes of the machine share. */
export const wall = (): number => performance.timeOrigin + performance.now();

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

export const hashOf = ({ text, at, sequence }: SoakData): string => hash("md5", `${text} ${at} ${sequence}`);

export function connectTo({ driver, folder, maxMessages }: SoakInput, name: string): Promise<Bus> {
  return connect({
    name,
    driver: driver === "memory" ? memory({ name: "soak" }) : sqlite({ path: `${folder}/bus.db` }),
    streams: [{ name: "soak", topics: ["soak.>"], maxMessages }],
  });
}
