import type { Open } from "../side.ts";
import { open as many } from "./scaling.ts";

/** The same with one: what several are compared with. */
export const open: Open = (settings) => many({ ...settings, members: 1 });
