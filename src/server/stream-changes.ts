/** Compares a project's streams with what its data folder was started with. No state. */

import { checkStreamChange } from '../define/stream-change.ts'
import type { ProjectDef } from '../define/types.ts'
import type { RefoldError } from '../model/errors.ts'
import type { StreamDef } from '../model/schema.ts'

/** Changes that old events do not fit, each with its reason. A stream that is left out keeps its events. */
export function streamMistakes(known: readonly StreamDef[], project: ProjectDef): readonly RefoldError[] {
  return known.flatMap((before) => {
    const after = project.streams.find((stream) => stream.name === before.name)
    return after === undefined ? [] : checkStreamChange(before, after, { file: project.file })
  })
}
