import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { expect } from "vitest";
import type { Broker } from "../../scripts/brokers/broker.ts";
import { folderOf, listInstances } from "../../scripts/brokers/instances.ts";
import { membersOf } from "../../scripts/brokers/server-family.ts";
import { until } from "../../src/testing/until.ts";

/** Undefined: gone by now. */
function ifThere<T>(look: () => T): T | undefined {
  try {
    return look();
  } catch {
    return undefined;
  }
}

/** The local addresses on which a process listens, as Linux writes them: `0100007F:4E20` is port 20000 of 127.0.0.1. */
function listening(pid: number): readonly string[] {
  const sockets = new Set(
    (ifThere(() => readdirSync(`/proc/${pid}/fd`)) ?? []).flatMap((fd) => {
      const file = ifThere(() => readlinkSync(`/proc/${pid}/fd/${fd}`)) ?? "";
      return /^socket:\[(\d+)\]$/.exec(file)?.[1] ?? [];
    }),
  );
  return ["tcp", "tcp6"].flatMap((family) => {
    const table = ifThere(() => readFileSync(`/proc/${pid}/net/${family}`, "utf8")) ?? "";
    const rows = table.trim().split("\n").slice(1);
    return rows
      .map((row) => row.trim().split(/\s+/))
      .flatMap(([, local = "", , state, , , , , , inode = ""]) =>
        state === "0A" && sockets.has(inode) ? [local] : [],
      );
  });
}

/** Of IPv4, of IPv6, and of IPv4 in an address of IPv6. */
const loopback = /^(?:0100007F|0{24}01000000|0{16}FFFF00000100007F):/;

/** On all of its ports, and nowhere else. Only Linux tells. */
export async function checkLoopback(broker: Broker): Promise<void> {
  if (process.platform !== "linux") return;
  const mine = listInstances().find(({ ports }) => ports[0]?.[0] === broker.servers[0]?.port);
  if (mine === undefined) throw new Error("it has no record");
  const started = mine.processes.filter((each) => each !== null);
  const addresses = (): readonly string[] =>
    membersOf({ started, folder: folderOf(mine.id), programs: [] }).flatMap(({ pid }) => listening(pid));
  const ports = (): readonly number[] => [
    ...new Set(addresses().map((address) => Number.parseInt(address.split(":")[1] ?? "", 16))),
  ];
  const wanted = mine.ports.flat().toSorted((a, b) => a - b);
  const has = (): boolean => wanted.every((port) => ports().includes(port));
  await until(has, () => `${wanted.join(" ")}: it listens on ${ports().join(" ")}`);
  expect(ports().toSorted((a, b) => a - b)).toEqual(wanted);
  expect(addresses().filter((address) => !loopback.test(address))).toEqual([]);
}
