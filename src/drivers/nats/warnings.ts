import type { ServerVersion } from "./version.ts";

export type Warning = readonly [text: string, fields: Readonly<Record<string, string | number>>];

/** What is said of a server that works and keeps less than it could; `copies` of what the driver keeps for itself. */
export function warnings(version: ServerVersion, clustered: boolean, copies = 1): readonly Warning[] {
  const found: Warning[] = [];
  if (!version.atLeast(2, 11) && version.patch < 23)
    found.push(["nats: servers before 2.10.23 may lose whole streams when they are killed", { version: version.text }]);
  if (clustered && copies === 1)
    found.push([
      'nats: queues, dead letters and state are on one server of the cluster alone: option "replicas"',
      { replicas: copies },
    ]);
  return found;
}
