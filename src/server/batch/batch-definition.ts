/** The batch layer of a view with two definitions: its batch SQL over everything up to T, in a worker. No state. */

import { latestStreams } from '../../catalog/streams.ts'
import type { JobOptions } from '../../engine/run-job.ts'
import type { StreamDef } from '../../model/schema.ts'
import type { ServerContext } from '../context.ts'
import { engineViewOf } from '../engine-spec.ts'
import { referenceCopies } from '../plan-batch-layer.ts'
import { batchStaging, type FoldOrder, type Layer } from './batch-fold.ts'

/** Runs the batch SQL over (start, T]; with nothing in the range there is no layer. */
export async function runDefinition(
  context: ServerContext,
  { id, row, cut, signal, onWorker }: FoldOrder,
  options: Pick<JobOptions, 'onStart'> = {},
): Promise<Layer> {
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
        stagingDir: batchStaging(context, id),
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
