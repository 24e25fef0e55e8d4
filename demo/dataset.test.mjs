import assert from 'node:assert/strict'
import { test } from 'node:test'
import { decimal, formatCents, generateDataset, loadDataset, parseCents, parseCsv, totalsOf } from './dataset.mjs'

const CSV = `customer_id,date,quantity,amount_usd
00001,1997-01-01,1,11.77
00002,1997-01-12,1,12.00
00002,1997-01-12,5,77.00
`

test('rows are grouped by customer, ids and cents kept exactly', () => {
  assert.deepEqual(parseCsv(CSV), [
    { id: '00001', purchases: [{ date: '1997-01-01', quantity: 1, cents: 1177 }] },
    {
      id: '00002',
      purchases: [
        { date: '1997-01-12', quantity: 1, cents: 1200 },
        { date: '1997-01-12', quantity: 5, cents: 7700 },
      ],
    },
  ])
})

test("a customer's purchases are put in the order of their days, wherever they stand in the file", () => {
  const [header] = CSV.split('\n')
  const [customer] = parseCsv([header, '7,1998-01-02,1,2.00', '8,1997-01-01,1,1.00', '7,1997-03-04,1,1.00'].join('\n'))
  assert.deepEqual(customer.purchases.map(({ date }) => date), ['1997-03-04', '1998-01-02'])
})

test('what is not a purchase is refused with its line', () => {
  assert.throws(() => parseCsv('id,when\n'), /line 1/)
  for (const row of ['3,1997-01-01,1', '3,1997-01-01,1,1.7', '3,01/02/1997,1,1.77', '3,1997-01-01,1,-1.00', ',1997-01-01,1,1.00']) {
    assert.throws(() => parseCsv(CSV + row), /line 5: not a purchase/, row)
  }
})

test('totals count an identify per customer and a track per order', () => {
  assert.deepEqual(totalsOf(parseCsv(CSV)), { customers: 2, orders: 3, events: 5, cents: 10077 })
})

test('cents are read and written without floating point', () => {
  assert.equal(parseCents('0.00'), 0)
  assert.equal(parseCents('1.10'), 110)
  assert.equal(parseCents('2500315.63'), 250031563)
  assert.throws(() => parseCents('1.1'))
  assert.throws(() => parseCents('1.100'))
  assert.throws(() => parseCents('99999999999999999.00'), /too large/)
  assert.equal(formatCents(0), '0.00')
  assert.equal(formatCents(7), '0.07')
  assert.equal(formatCents(99_999), '999.99')
  assert.equal(formatCents(250031563), '2,500,315.63')
  assert.equal(formatCents(-123456), '-1,234.56')
})

test('every amount up to 10,000.00 goes on the wire as the number the file has', () => {
  for (let cents = 0; cents <= 1_000_000; cents++) {
    const written = JSON.stringify(decimal(cents))
    assert.equal(Number(written).toFixed(2), `${Math.floor(cents / 100)}.${String(cents % 100).padStart(2, '0')}`)
    assert.ok(written.length <= 8, written) // 0.1 + 0.2 would write 17 digits
  }
})

test('the generated data set has the shape of CDNOW and is the same at every call', () => {
  const { customers, generated } = generateDataset()
  assert.equal(generated, true)
  assert.deepEqual(generateDataset().customers, customers)

  const totals = totalsOf(customers)
  assert.equal(totals.customers, 23_570)
  assert.ok(Math.abs(totals.orders - 69_659) < 1_500, `${totals.orders} orders`)
  assert.equal(new Set(customers.map(({ id }) => id)).size, 23_570)

  const once = customers.filter(({ purchases }) => purchases.length === 1).length
  assert.ok(Math.abs(once / totals.customers - 0.505) < 0.02, `${once} bought once`)
  for (const { id, purchases } of customers) {
    assert.match(id, /^\d{5}$/)
    assert.ok(purchases[0].date >= '1997-01-01' && purchases[0].date <= '1997-03-25')
    purchases.forEach(({ date, quantity, cents }, index) => {
      assert.ok(index === 0 || date >= purchases[index - 1].date)
      assert.ok(date <= '1998-06-30')
      assert.ok(Number.isInteger(quantity) && quantity >= 1 && quantity <= 99)
      assert.ok(Number.isInteger(cents) && cents >= 0)
    })
  }
})

test('the generated data set is frozen: another total would make old message ids mean other orders', () => {
  const want = { customers: 23_570, orders: 69_740, events: 93_310, cents: 214_852_783 }
  assert.deepEqual(totalsOf(generateDataset().customers), want)
})

test('a data set that is asked for must exist, and a limit keeps the first customers', () => {
  assert.throws(() => loadDataset({ file: '/nowhere/at-all.csv' }), /no such file/)
  assert.deepEqual(loadDataset({ limit: 2 }).customers.map(({ id }) => id), ['00001', '00002'])
})

test('the CDNOW file holds 23,570 customers, 69,659 orders, 2,500,315.63 USD', (t) => {
  const { customers, generated } = loadDataset()
  if (generated) return t.skip('needs ../shared/data/cdnow.csv.gz')
  const want = { customers: 23_570, orders: 69_659, events: 93_229, cents: 250_031_563 }
  assert.deepEqual(totalsOf(customers), want)
})
