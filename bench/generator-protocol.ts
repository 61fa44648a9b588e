/** What the benchmark's main process and a generator process say to each other, over Node's IPC. Pure types. */

import type { Quantiles } from './quantiles.ts'
import type { Workload } from './workload.ts'

export interface Target {
  readonly port: number
  readonly stream: string
  /** The view whose cut counts as "folded", and whose rows the probes look up. */
  readonly view: string
}

export type Order =
  | {
      /** As fast as the server takes it, in flight adapted so that lag stays near `lagEvents`. */
      readonly kind: 'flood'
      readonly target: Target
      readonly workload: Workload
      readonly firstId: number
      readonly connections: number
      readonly lagEvents: number
      /** Events sent before measuring begins; the flood ends after `seconds` of measuring, or `events` in all. */
      readonly warmupEvents: number
      readonly seconds?: number
      readonly events?: number
    }
  | {
      /** A fixed rate, open loop: each latency counts from the moment a request was due. */
      readonly kind: 'paced'
      readonly target: Target
      readonly workload: Workload
      readonly firstId: number
      readonly connections: number
      readonly eventsPerSecond: number
      readonly warmupSeconds: number
      readonly seconds: number
      /** Every so many requests one is followed until its events are queryable; 0 for none. */
      readonly probeEvery: number
    }
  | {
      /** Closed loop of lookups by key. */
      readonly kind: 'lookups'
      readonly target: Target
      readonly keys: number
      readonly connections: number
      /** Lookups a second at most; 0 for as many as the server answers. */
      readonly perSecond: number
      readonly warmupSeconds: number
      readonly seconds: number
    }

/** How often each request body of the workload was acknowledged, and the last cut that an answer named. */
export interface SentAccount {
  readonly workload: Workload
  readonly acknowledged: readonly number[]
  readonly lastCut: number
}

export interface GeneratorReport {
  readonly seconds: number
  /** Events folded (flood) or acknowledged (paced), or lookups answered, while measuring. */
  readonly done: number
  readonly acknowledgeMs?: Quantiles
  readonly queryableMs?: Quantiles
  readonly lookupMs?: Quantiles
  /** Events that were acknowledged and not folded, by half-second samples. */
  readonly lagEvents?: Quantiles
  /** Lag in the last third over lag in the first third of the samples: near 1 when steady. */
  readonly lagGrowth?: number
  readonly refused: number
  readonly account?: SentAccount
}

export type Reply =
  | { readonly kind: 'report'; readonly report: GeneratorReport }
  | { readonly kind: 'failed'; readonly message: string }
