-- Put back a reservation that the store has lost; one that it has, or has booked, stays.
-- KEYS: call, open, then one hash per scope.
local q = cmsgpack.unpack(ARGV[1])
if redis.call('EXISTS', KEYS[1]) == 1 then return cmsgpack.pack(0) end
redis.call('SET', KEYS[1], cmsgpack.pack(q.call))
redis.call('ZADD', KEYS[2], q.expires, q.id)
for i = 3, #KEYS do
  redis.call('HINCRBY', KEYS[i], 'r', q.call.reserved)
  redis.call('HINCRBY', KEYS[i], 'c', 1)
end
return cmsgpack.pack(1)
