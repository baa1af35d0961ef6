import type { Open } from "../side.ts";
import { open as many } from "./subscriptions.ts";

/** The same with ten: what ten thousand are compared with. */
export const open: Open = (settings) => many({ ...settings, subscriptions: 10, topics: 10 });
