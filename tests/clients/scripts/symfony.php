<?php
// What Symfony's adapter does with the cache at a DSN. Prints one line of JSON.
require 'Symfony/Component/Cache/autoload.php';
use Symfony\Component\Cache\Adapter\MemcachedAdapter;
$cache = new MemcachedAdapter(MemcachedAdapter::createConnection($argv[1]), 'suite', 0);
$computed = 0;
$compute = function ($item) use (&$computed) {
    $item->expiresAfter(100);
    return ['answer' => ++$computed];
};
$answers = ['first' => $cache->get('a', $compute), 'second' => $cache->get('a', $compute)];
$cache->deleteItem('a');
$answers['deleted'] = $cache->hasItem('a');
foreach (range(1, 50) as $number) {
    $cache->saveDeferred($cache->getItem("key$number")->set(str_repeat('v', $number)));
}
$answers['committed'] = $cache->commit();
$found = 0;
foreach ($cache->getItems(array_map(fn ($number) => "key$number", range(1, 60))) as $item) {
    $found += $item->isHit() ? 1 : 0;
}
$answers['found'] = $found;
$answers['cleared'] = $cache->clear();
$answers['left'] = $cache->hasItem('key1');
echo json_encode($answers), "\n";
