const sizes = ["B", "KiB", "MiB", "GiB", "TiB"];
const number = new Intl.NumberFormat("en-US");

export function count(value: number | undefined): string {
  return value === undefined ? "-" : number.format(value);
}

export function plural(value: number, one: string, many: string = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : many}`;
}

export function bytes(value: number | undefined): string {
  if (value === undefined) return "-";
  const step = value < 1 ? 0 : Math.min(Math.floor(Math.log(value) / Math.log(1024)), sizes.length - 1);
  const shown = value / 1024 ** step;
  return `${step === 0 || shown >= 100 ? Math.round(shown) : shown.toFixed(1)} ${sizes[step]}`;
}

export function duration(ms: number | undefined): string {
  if (ms === undefined) return "-";
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1_000).toFixed(1)} s`;
  const minutes = Math.floor(ms / 60_000);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

export function when(time: Date | undefined): string {
  return time === undefined || Number.isNaN(time.getTime()) ? "-" : time.toISOString();
}
