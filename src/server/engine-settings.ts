/** What engines and workers may use, from the project's settings. Pure. */

import type { ProjectDef } from '../define/types.ts'
import type { EngineSettings, Job } from '../engine/engine.ts'
import type { JobSettings } from '../engine/started-worker.ts'
import type { DataFolder } from './data-folder.ts'

const WORKER_MEMORY_SHARE = 0.5

type Project = Pick<ProjectDef, 'engine' | 'root'>
type Folder = Pick<DataFolder, 'scratch' | 'code'>

export function engineSettings(project: Project, folder: Folder): EngineSettings {
  const { memoryBytes, threads, statementTimeoutMs, heavyStatements } = project.engine
  const scratchDir = `${folder.scratch}/live`
  return { memoryBytes, threads, statementTimeoutMs, heavyStatements, scratchDir, ...code(project, folder) }
}

export function pastSettings(project: Project, folder: Folder): JobSettings {
  return { ...workerSettings(project), scratchDir: `${folder.scratch}/past`, ...code(project, folder) }
}

export function jobSettings(project: Project, folder: Folder, kind: Job['kind']): JobSettings {
  // A replay may use every core that nobody else wants: workers stand behind all others in the scheduler's order.
  const threads = kind === 'fold' ? { threads: project.engine.threads } : {}
  return { ...workerSettings(project), ...threads, scratchDir: folder.scratch, ...code(project, folder) }
}

function code({ root }: Project, folder: Folder): Required<Pick<EngineSettings, 'code'>> {
  return { code: { folder: folder.code, root } }
}

function workerSettings({ engine }: Project): Pick<EngineSettings, 'memoryBytes' | 'threads'> {
  return {
    memoryBytes: Math.floor(engine.memoryBytes * WORKER_MEMORY_SHARE),
    threads: Math.max(1, Math.floor(engine.threads / 2)),
  }
}
