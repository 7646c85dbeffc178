import { Gauge, type OpenMetricsContentType, type Registry } from 'prom-client';

/** One line of what is exposed: a value, and what it is of. */
export interface Sample {
  readonly labels?: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface GaugeDefinition {
  readonly name: string;
  readonly help: string;
  readonly labels?: readonly string[];
}

/**
 * Adds a gauge of which nothing is kept: its samples are asked for at each scrape. What is not known has no sample, for
 * a zero would be taken for a measured one.
 */
export function addGauge(
  registry: Registry | Registry<OpenMetricsContentType>,
  { name, help, labels = [] }: GaugeDefinition,
  samples: () => readonly Sample[],
): void {
  void new Gauge({
    name,
    help,
    labelNames: [...labels],
    registers: [registry],
    collect() {
      this.reset();
      // Without labels a reset leaves a zero.
      if (labels.length === 0) this.remove();
      for (const sample of samples()) this.set({ ...sample.labels }, sample.value);
    },
  });
}
