/** The batch layer of a view with two definitions: its batch SQL over everything up to T, in a worker. No state. */

import { latestStreams } from '../../catalog/streams.ts'
import type { VersionRow } from '../../catalog/versions.ts'
import type { SliceInfo } from '../../engine/engine.ts'
import type { JobOptions } from '../../engine/run-job.ts'
import type { CommitSeq } from '../../model/cut.ts'
import type { StreamDef } from '../../model/schema.ts'
import type { ServerContext } from '../context.ts'
import { engineViewOf } from '../engine-spec.ts'
import { referenceCopies } from '../plan-batch-layer.ts'

export interface DefinitionOrder {
  readonly row: VersionRow
  /** T. */
  readonly cut: CommitSeq
  readonly signal: AbortSignal
  /** Told the process that runs it. */
  readonly onWorker: (pid: number | undefined) => void
  readonly stagingDir: string
}

export interface DefinedLayer {
  readonly kept: readonly SliceInfo[]
  readonly staged: readonly SliceInfo[]
  readonly events: number
}

/** Runs the batch SQL over (start, T]; with nothing in the range there is no layer. */
export async function runDefinition(
  context: ServerContext,
  { row, cut, signal, onWorker, stagingDir }: DefinitionOrder,
  options: Pick<JobOptions, 'onStart'> = {},
): Promise<DefinedLayer> {
  const { catalog, folder, skips } = context
  if (cut <= row.start) return { kept: [], staged: [], events: 0 }
  skips.write()
  try {
    return await context.pins.with(async (sources) => {
      const job = {
        kind: 'batch',
        view: engineViewOf(catalog, row),
        streams: everyStream(context),
        sources,
        range: { from: row.start, to: cut },
        copies: referenceCopies(folder.root),
        stagingDir,
      } as const
      const onStart: JobOptions['onStart'] = (pid, kill) => {
        onWorker(pid)
        options.onStart?.(pid, kill)
      }
      const { slices, events } = await context.runJob(job, { signal, onStart })
      return { kept: [], staged: slices, events }
    })
  } finally {
    onWorker(undefined)
  }
}

/** A version may read streams that the project no longer has. */
function everyStream(context: ServerContext): readonly StreamDef[] {
  const own = context.streams()
  const names = new Set(own.map(({ name }) => name))
  return [...own, ...latestStreams(context.catalog).filter(({ name }) => !names.has(name))]
}
