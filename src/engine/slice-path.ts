/**
 * Where a worker stages a slice. The process id keeps apart what two attempts at one job write. Pure.
 */

import { join } from 'node:path'
import type { CommitRange } from '../model/cut.ts'
import type { EngineView } from './engine.ts'

export function slicePath(
  stagingDir: string,
  view: Pick<EngineView, 'view' | 'version'>,
  part: string,
  range: CommitRange,
): string {
  const version = view.version.slice(0, 12)
  return join(stagingDir, `${view.view}-${version}-${part}-${range.from}-${range.to}-${process.pid}.parquet`)
}
