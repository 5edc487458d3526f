module example.org/novacron

go 1.21
