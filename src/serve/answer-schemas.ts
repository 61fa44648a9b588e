/** JSON Schemas of the answers to reads, for the OpenAPI description. Pure data. */

const batches = { $ref: '#/components/schemas/Batch' }
const whole = { type: 'integer', minimum: 0 }

/** What an answer says of a view's batch layer, and of the speed layer beside it. */
export const batchSchema = {
  type: 'object',
  description: 'Of a view that runs as lambda: where its batch layer ends, and what came after.',
  required: ['cut', 'at', 'ageMs', 'spanMs'],
  properties: {
    cut: { ...whole, description: 'T: the batch layer has every event up to this cut.' },
    at: { type: 'string', format: 'date-time', description: 'When the batch was published.' },
    ageMs: { ...whole, description: 'How long ago that was.' },
    spanMs: {
      ...whole,
      description: 'Age of the oldest event that only the speed layer has; 0 when it has none.',
    },
    approximate: {
      type: 'array',
      items: { type: 'string' },
      description: 'Columns that are approximate as long as the speed layer has events.',
    },
    stale: {
      type: 'string',
      description: 'Why the answer has nothing of the speed layer: it shows the view as it was at `cut`.',
    },
  },
} as const

const common = {
  cut: whole,
  at: { type: ['string', 'null'], format: 'date-time' },
  lagMs: { type: 'number' },
  columns: {
    type: 'array',
    items: { type: 'object', properties: { name: { type: 'string' }, type: { type: 'string' } } },
  },
  rows: { type: 'array', items: { type: 'object' } },
  truncated: { type: 'boolean' },
} as const

export const viewAnswerSchema = {
  type: 'object',
  properties: {
    view: { type: 'string' },
    version: { type: ['string', 'null'] },
    watermark: { type: ['string', 'null'] },
    stalled: { type: 'object' },
    batch: batches,
    ...common,
  },
} as const

export const sqlAnswerSchema = {
  type: 'object',
  properties: {
    versions: { type: 'object', additionalProperties: { type: 'string' } },
    watermarks: { type: 'object', additionalProperties: { type: ['string', 'null'] } },
    stalled: { type: 'object' },
    batches: { type: 'object', additionalProperties: batches },
    trimmed: { type: 'object' },
    ...common,
  },
} as const
