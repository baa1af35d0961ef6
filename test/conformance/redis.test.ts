import { redisConformance } from "../support/redis-conformance.ts";

await redisConformance("redis");
