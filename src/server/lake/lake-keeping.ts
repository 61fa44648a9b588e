/**
 * Everything that changes the lake of a running server, and the rhythm of it: moving the log there, trimming, merging
 * small files. No state of its own.
 */

import { historyTrimmed, trimmedBeyond } from '../../catalog/trims.ts'
import type { Job } from '../../engine/engine.ts'
import { type LakeMergePolicy, lakeMergePolicy } from '../../run/retention.ts'
import type { ServerContext } from '../context.ts'
import { LakeMoving } from '../lake-moving.ts'
import type { Sealing } from '../sealing.ts'
import { LakeMerging } from './lake-merging.ts'
import { LakeTrimming } from './trimming.ts'

export interface LakeOptions {
  /** Overrides parts of the policy by which small lake files are merged. */
  readonly lakeMerge?: Partial<LakeMergePolicy>
  /** How often the retention of streams, and what lake files could be merged, is looked at. Default a minute. */
  readonly retentionCheckMs?: number
}

const MOVE_CHECK_MS = 500
const RETENTION_CHECK_MS = 60_000

export class LakeKeeping {
  readonly moving: LakeMoving
  readonly trimming: LakeTrimming
  readonly #merging: LakeMerging
  readonly #options: LakeOptions

  constructor(context: ServerContext, sealing: Sealing, options: LakeOptions) {
    this.#options = options
    this.moving = new LakeMoving(context)
    this.trimming = new LakeTrimming(context, sealing)
    this.#merging = new LakeMerging(context, this.trimming, { ...lakeMergePolicy, ...options.lakeMerge })
  }

  /** `every` calls a task again and again until the server ends. */
  begin(every: (periodMs: number, task: () => void) => void): void {
    every(MOVE_CHECK_MS, () => this.moving.check())
    every(this.#options.retentionCheckMs ?? RETENTION_CHECK_MS, () => {
      this.trimming.check()
      this.#merging.check()
    })
  }

  async settled(): Promise<void> {
    await this.moving.settled()
    await this.trimming.settled()
    await this.#merging.settled()
  }
}

/** Whoever folds, and for whatever: a range whose events are gone would come out as if they had never been. */
export function refuseTrimmed({ catalog }: Pick<ServerContext, 'catalog'>, job: Job): void {
  if (job.kind !== 'fold' && job.kind !== 'batch') return
  const { view, range } = job
  const trim = trimmedBeyond(catalog, view.plan.streams, range.from)
  const version = `version "${view.version.slice(0, 12)}" of view "${view.view}"`
  if (trim !== undefined) throw historyTrimmed(`folding ${version} from cut ${range.from} on`, trim)
}
