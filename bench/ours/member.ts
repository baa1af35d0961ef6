/** A member of the group in the scaling bench; tells its parent what it did so far. */
import { setTimeout as wait } from "node:timers/promises";
import { connect } from "../../src/index.ts";
import type { Settings } from "../side.ts";
import { config, OrderPlaced, type Place } from "./bus.ts";

export interface MemberNews {
  readonly handled: number;
  /** Of this process so far. */
  readonly cpuMicros: number;
}

const everyMs = 10;
const [place = "", json = ""] = process.argv.slice(2);
const settings = JSON.parse(json) as Settings;
const bus = await connect(config(JSON.parse(place) as Place, settings));
let handled = 0;

function tell(): void {
  const { user, system } = process.cpuUsage();
  const news: MemberNews = { handled, cpuMicros: user + system };
  process.send?.(news, undefined, undefined, () => {}); // a parent that is gone has heard enough
}

await bus.subscribe(
  OrderPlaced,
  async () => {
    await wait(settings.handlerMs);
    handled += 1;
  },
  { group: "bench", concurrency: settings.window },
);
setInterval(tell, everyMs);
process.on("disconnect", () => process.exit());
tell();
