-- Note the highest threshold of a window that was told; 1 if this is news.
local now = tonumber(redis.call('HGET', KEYS[1], ARGV[1]) or -1)
if now >= tonumber(ARGV[2]) then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return 1
