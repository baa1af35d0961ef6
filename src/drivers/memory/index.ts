export { memory } from "./memory.ts";
export type { MemoryOptions } from "./options.ts";
