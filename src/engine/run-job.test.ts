/** Jobs in a process of their own: what comes back, what a kill leaves behind. */

import assert from 'node:assert/strict'
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { isRefoldError } from '../../test/support/is-refold-error.ts'
import { commitsOf, ordersStream, ordersView } from '../../test/support/orders-view.ts'
import { writeLogFixture } from '../../test/support/written-log.ts'
import type { Job } from './engine.ts'
import { JobStalled, runJob } from './run-job.ts'
import { startWorker } from './started-worker.ts'

let folder = ''
let cases = 0

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'refold-run-job-'))
})

after(() => rm(folder, { recursive: true, force: true }))

interface Setting {
  readonly job: Extract<Job, { kind: 'fold' }>
  readonly settings: { memoryBytes: number; threads: number; scratchDir: string }
  readonly logDir: string
  readonly stagingDir: string
}

async function setting(commits: number, eventsPerCommit: number, badAt = -1): Promise<Setting> {
  const base = join(folder, String(++cases))
  const logDir = join(base, 'log')
  const stagingDir = join(base, 'staging')
  await mkdir(logDir, { recursive: true })
  const orders = Array.from({ length: commits }, (_, at) =>
    Array.from({ length: eventsPerCommit }, (_, index) => ({
      ...{ who: `who-${(at * 7919 + index) % 50_000}`, amount: at === badAt ? 'bad' : String(index % 97) },
    })),
  )
  const log = await writeLogFixture(logDir, commitsOf(orders), 8)
  const sources = { log, lake: { through: 0, files: [] } }
  const range = { from: 0, to: commits }
  const view = ordersView('stall')
  return {
    job: { kind: 'fold', view, streams: [ordersStream], sources, range, stagingDir },
    settings: { memoryBytes: 500e6, threads: 2, scratchDir: join(base, 'scratch') },
    ...{ logDir, stagingDir },
  }
}

test('a job runs in a process of its own, tells its progress, and leaves only what it staged', async () => {
  const { job, settings, stagingDir } = await setting(20, 50)
  const seen: number[] = []
  let pid = 0
  const result = await runJob(job, settings, {
    onProgress: ({ done, total }) => {
      assert.equal(total, 1000)
      seen.push(done)
    },
    onStart: (started) => {
      pid = started
    },
  })
  assert.ok(result.kind === 'fold')
  assert.equal(result.events, 1000)
  assert.deepEqual(seen, [0, 500, 1000])
  assert.ok(pid > 0 && pid !== process.pid)
  assert.deepEqual(
    (await readdir(stagingDir)).sort(),
    result.slices.map(({ path }) => path.slice(stagingDir.length + 1)).sort(),
  )
  assert.deepEqual(await readdir(settings.scratchDir), [])
})

test('a fold that an event stops comes back with the position of the event', async () => {
  const { job, settings } = await setting(4, 5, 2)
  await assert.rejects(runJob(job, settings), (error) => {
    assert.ok(error instanceof JobStalled && error.code === 'QUERY_FAILED')
    assert.deepEqual([error.stall.position.commit, error.stall.position.index], [3, 0])
    return true
  })
})

test('an aborted job is killed, and its private files are gone', async () => {
  const { job, settings } = await setting(40, 2000)
  const controller = new AbortController()
  const onProgress = () => controller.abort()
  await assert.rejects(
    runJob(job, settings, { signal: controller.signal, onProgress }),
    isRefoldError('QUERY_CANCELLED'),
  )
  assert.deepEqual(await readdir(settings.scratchDir), [])
  await assert.rejects(runJob(job, settings, { signal: controller.signal }), isRefoldError('QUERY_CANCELLED'))
})

test('a worker killed at any moment harms nothing, and the job can be run again', async () => {
  const { job, settings, logDir, stagingDir } = await setting(40, 1000)
  const contents = async () => {
    const names = (await readdir(logDir)).sort()
    return Promise.all(
      names.map(async (name) => [name, (await readFile(join(logDir, name))).toString('latin1')]),
    )
  }
  const before = await contents()
  for (const delayMs of [0, 60, 120, 180, 240]) {
    const running = runJob(job, settings, {
      onStart: (pid) => setTimeout(() => killIfThere(pid), delayMs),
    })
    await running.catch((error) => assert.ok(isRefoldError('JOB_FAILED', /SIGKILL/)(error), String(error)))
    assert.deepEqual(await contents(), before)
    assert.deepEqual(existsSync(settings.scratchDir) ? await readdir(settings.scratchDir) : [], [])
  }
  const result = await runJob(job, settings)
  assert.ok(result.kind === 'fold' && result.events === 40_000)
  assert.ok(result.slices.every(({ path }) => path.startsWith(stagingDir) && existsSync(path)))
})

test('a job is given to a worker that was started before; one that is gone is replaced; unused ones leave nothing', async () => {
  const { job, settings, stagingDir } = await setting(20, 50)
  const pids: number[] = []
  const onStart = (pid: number) => void pids.push(pid)
  const worker = startWorker(settings)
  const pid = worker.child.pid ?? 0
  for (let round = 0; round < 2; round++) {
    const result = await runJob(job, settings, { worker, onStart })
    assert.ok(result.kind === 'fold' && result.events === 1000)
    for (const { path } of result.slices) assert.ok(path.startsWith(stagingDir) && existsSync(path))
    assert.ok(!worker.isReady())
  }
  assert.equal(pids[0], pid)
  assert.notEqual(pids[1], pid)
  const unused = startWorker(settings)
  await once(unused.child, 'spawn')
  await unused.end()
  assert.equal(unused.child.signalCode, 'SIGKILL')
  assert.deepEqual(await readdir(settings.scratchDir), [])
})

test('a worker that ends between its start and its job fails the job, which can be run again', async () => {
  const { job, settings } = await setting(4, 5)
  const worker = startWorker(settings)
  worker.child.kill('SIGKILL')
  const running = runJob(job, settings, { worker })
  await running.catch((error) => assert.ok(isRefoldError('JOB_FAILED')(error), String(error)))
  const result = await runJob(job, settings, { worker })
  assert.ok(result.kind === 'fold' && result.events === 20)
})

test('a worker whose server is gone ends by itself', async () => {
  const worker = fork(join(import.meta.dirname, 'worker.ts'), [], {
    ...{ stdio: ['ignore', 'ignore', 'inherit', 'ipc'] },
    execArgv: ['--disable-warning=ExperimentalWarning'],
  })
  await once(worker, 'spawn')
  await sleep(150)
  worker.disconnect()
  const [code] = await once(worker, 'exit')
  assert.equal(code, 0)
})

function killIfThere(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {}
}
