import type { Budget } from "./scenario.ts";
import { median } from "./spread.ts";

const number = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });

export function atLeast(rate: number): Budget {
  return {
    what: `≥ ${number.format(rate)}/s`,
    judge: ({ row }) => ({ figure: `${number.format(row.ours.median)}/s`, met: row.ours.median >= rate }),
  };
}

export function ratioOf(least: number): Budget {
  return {
    what: `ratio ≥ ${least}`,
    judge: ({ row }) => ({ figure: row.ratio.median.toFixed(2), met: row.ratio.median >= least }),
  };
}

export function cpuAdded(mostMicros: number): Budget {
  return {
    what: `≤ ${mostMicros} µs CPU added`,
    judge: ({ row }) => {
      const added = row.cpuMicros.ours - row.cpuMicros.bare;
      return { figure: `${added.toFixed(2)} µs`, met: added <= mostMicros };
    },
  };
}

/** How many times as much the other side spends. */
export function cpuTimes(least: number): Budget {
  return {
    what: `≥ ${least} times less CPU`,
    judge: ({ row }) => {
      const times = row.cpuMicros.bare / row.cpuMicros.ours;
      return { figure: times.toFixed(1), met: times >= least };
    },
  };
}

export function latencyBelow(ms: number): Budget {
  return {
    what: `p50 < ${ms} ms`,
    judge: ({ row }) => ({ figure: `${(row.ours.median / 1_000).toFixed(2)} ms`, met: row.ours.median < ms * 1_000 }),
  };
}

/** The median of the pairs' differences: what disturbs both sides of a pair does not count. */
export function latencyAdded(micros: number): Budget {
  return {
    what: `p50 < ${micros} µs added`,
    judge: ({ pairs }) => {
      const added = median(pairs.map(({ ours, bare }) => ours.value - bare.value));
      return { figure: `${added.toFixed(0)} µs`, met: added < micros };
    },
  };
}

export function flat(share: number): Budget {
  return {
    what: `grows < ${share * 100} %`,
    judge: ({ pairs }) => {
      const grown = median(pairs.map(({ ours }) => ours.value / (ours.notes?.["from"] ?? Number.NaN) - 1));
      return { figure: `${(grown * 100).toFixed(1)} %`, met: grown < share };
    },
  };
}
