import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { connect } from "../../src/index.ts";
import { orders } from "../message.ts";
import { inWindows, type Open, type Sample } from "../side.ts";
import { config, freshPlace, OrderPlaced, removePlace } from "./bus.ts";
import type { MemberNews } from "./member.ts";

/** Of the messages, what is counted: before it the members start, and after it they run dry one by one. */
const counted = { from: 0.2, to: 0.8 };

/** What a group's members, each in a process of its own, handle of a backlog in the middle of it. */
export const open: Open = (settings) => {
  const { messages, bytes, members = 1 } = settings;
  const order = orders(bytes);
  const first = Math.ceil(messages * counted.from);
  const last = Math.ceil(messages * counted.to);

  /** `news`: what each of them said when it was ready. */
  const handled = (news: Map<ChildProcess, MemberNews>): Promise<Sample> =>
    new Promise((resolve, reject) => {
      const sums = (): { readonly at: number; readonly handled: number; readonly cpuMicros: number } => {
        let [count, cpuMicros] = [0, 0];
        for (const each of news.values()) {
          count += each.handled;
          cpuMicros += each.cpuMicros;
        }
        return { at: performance.now(), handled: count, cpuMicros };
      };
      let begun = sums();
      const told = (): void => {
        const now = sums();
        if (begun.handled === 0 && now.handled >= first && now.handled < last) begun = now;
        if (now.handled < last) return;
        const moved = now.handled - begun.handled;
        const value = moved / ((now.at - begun.at) / 1_000);
        resolve({ value, cpuMicros: (now.cpuMicros - begun.cpuMicros) / moved });
      };
      for (const child of news.keys()) {
        child.once("exit", () => reject(new Error("a member ended")));
        child.on("message", (message) => {
          news.set(child, message as MemberNews);
          told();
        });
      }
    });

  return {
    round: async () => {
      const place = freshPlace(settings);
      const bus = await connect(config(place, settings));
      const children: ChildProcess[] = [];
      try {
        for (let at = 0; at < members; at++)
          children.push(fork(new URL("member.ts", import.meta.url), [JSON.stringify(place), JSON.stringify(settings)]));
        const ready = await Promise.all(
          children.map(async (child) => [child, (await once(child, "message"))[0] as MemberNews] as const),
        );
        const sample = handled(new Map(ready));
        const [found] = await Promise.all([
          sample,
          inWindows(messages, 1_024, (at) => bus.publish(OrderPlaced, order(at))),
        ]);
        return found;
      } finally {
        const ended = children.map((child) => once(child, "exit"));
        for (const child of children) if (child.connected) child.disconnect();
        await Promise.all(ended);
        await bus.close();
        removePlace(place);
      }
    },
  };
};
